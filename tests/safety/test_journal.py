"""The journal: what is committed is told once, before the answer; what is torn is left out."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections, transaction

from apikeys.actors import SYSTEM
from jobs import again, journal, services
from jobs.models import Batch, Job
from mobilesd.backups import snapshots
from tests.safety.world import World


def lines(world: World) -> list[bytes]:
    return [line for file in journal.files() for line in file.read_bytes().splitlines() if line]


def test_a_job_is_told_when_its_answer_comes(world: World):
    job_id = world.submit("a boat")
    assert journal.read().jobs[str(job_id)]["generation_params"]["positive_prompt"] == "a boat"


def test_what_is_rolled_back_is_not_told(world: World):
    with pytest.raises(RuntimeError), transaction.atomic():
        world.submit("never was")
        raise RuntimeError
    kept = world.submit("was")
    assert set(journal.read().jobs) == {str(kept)}


def test_what_a_savepoint_rolled_back_is_not_told(world: World):
    with transaction.atomic():
        kept = world.submit("was")
        with pytest.raises(RuntimeError), transaction.atomic():
            world.submit("never was")
            raise RuntimeError
    assert set(journal.read().jobs) == {str(kept)}


def test_many_that_commit_together_share_one_write(world: World, monkeypatch):
    written: list[int] = []
    write = journal._Writer.write
    monkeypatch.setattr(
        journal._Writer,
        "write",
        lambda self, lines: (written.append(len(lines)), write(self, lines)),
    )
    with transaction.atomic():
        for number in range(10):
            world.submit(f"boat {number}")
    assert len(written) == 1
    assert written[0] >= 10


def test_a_torn_line_is_left_out_and_the_next_one_is_whole(world: World):
    first = world.submit("first")
    torn = journal.files()[-1]
    whole = torn.read_bytes()
    torn.write_bytes(whole + whole[: len(whole) // 3].rstrip(b"\n"))
    journal._writer._torn = True  # as in a process that has just begun
    second = world.submit("second")
    told = journal.read()
    assert (told.cut_off, told.damaged) == (1, 0)
    assert set(told.jobs) == {str(first), str(second)}


def test_a_line_whose_content_has_turned_is_left_out(world: World):
    world.submit("unmistakable")
    file = journal.files()[-1]
    file.write_bytes(file.read_bytes().replace(b"unmistakable", b"unmistakabla"))
    told = journal.read()
    assert (told.cut_off, told.damaged) == (0, 1)
    assert told.jobs == {}


def test_a_full_disk_takes_nothing_from_the_answer_and_is_told(world: World, monkeypatch):
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(journal.os, "write", full)
        first = world.submit("while it is full")
        assert "No space left" in journal.trouble()
    assert Job.objects.filter(pk=first).exists()
    second = world.submit("afterwards")
    assert journal.trouble() == ""
    assert set(journal.read().jobs) == {str(first), str(second)}


def test_the_latest_state_wins(world: World):
    job_id = world.submit()
    world.cancel(job_id)
    with transaction.atomic():
        assert again.retry(job_id)
    assert journal.read().jobs[str(job_id)]["status"] == "pending"
    world.complete(job_id)
    told = journal.read()
    assert told.jobs[str(job_id)]["status"] == "completed"
    assert len(told.pictures) == 1


def test_threads_tell_all_of_their_jobs(world: World):
    made: list[str] = []

    def submit(number: int) -> None:
        try:
            made.append(str(world.submit(f"boat {number}")))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(journal.read().jobs) == set(made)
    assert len(made) == 8


def test_the_journal_is_shortened_to_what_two_backups_have(world: World, monkeypatch):
    world.submit("in both")
    old = journal.files()[-1]
    past = old.rename(old.with_name("20200101-00.log"))
    monkeypatch.setattr(journal, "_writer", journal._Writer())  # else it goes on in that file
    world.submit("later")
    world.backup()
    assert past in journal.files(), "the newest backup may turn out to be damaged"
    snapshots.take(datetime.now(UTC) + timedelta(hours=1))
    assert past not in journal.files()
    assert journal.files(), "what is written now stays"


def test_what_a_person_changed_is_told_as_it_is_then(world: World):
    """Changes of many rows are one statement; the rows in memory were read before it."""
    waits, put_off = world.submit("one"), world.submit("two")
    owner_batch = Batch.objects.create(total=1, created_at=datetime.now(UTC))
    Job.objects.filter(pk=put_off).update(
        held=True, batch=owner_batch, retry_at=datetime.now(UTC) + timedelta(hours=1)
    )
    services.prioritise_many([waits, put_off], 2, SYSTEM)
    services.try_now(put_off, SYSTEM)
    services.nod(owner_batch.pk, SYSTEM, go=True)
    told = journal.read().jobs
    assert [told[str(job)]["priority"] for job in (waits, put_off)] == [2, 2]
    assert told[str(put_off)]["held"] is False
    assert told[str(put_off)]["retry_at"] is None
