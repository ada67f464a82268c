"""A picture that can't be written is not lost without a word, and the lane lives on."""

import errno
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from dispatch.fakes.forge import FakeForge
from dispatch.lanes import outcomes, store
from dispatch.models import Health, Server
from gallery.models import Image
from jobs.choices import Outcome, Status
from mobilesd import storage
from tests.dispatch.lane_harness import connected, lane, no_attempt_left, queue, until_final

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Refuse so many writes of pictures as the list's only number says."""
    left = [0]
    original = storage.write_whole

    def write_whole(target: Path, content: bytes) -> None:
        if left[0]:
            left[0] -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        original(target, content)

    monkeypatch.setattr(storage, "write_whole", write_whole)
    monkeypatch.setattr(outcomes, "_retry_at", lambda made: timezone.now() + timedelta(seconds=0.1))
    return left


def test_the_picture_is_made_again_once_there_is_room(full_disk: list[int]) -> None:
    full_disk[0] = 1
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        [job] = queue()
        with lane(server):
            [done] = until_final([job])
    assert (done.status, done.attempts_made) == (Status.COMPLETED, 2)
    first = job.attempts.get(number=1)
    assert (first.outcome, first.error_code) == (Outcome.ERROR, "storage_failed")
    assert "No space left" in first.error_message
    assert Image.objects.count() == 1


def test_a_disk_that_stays_full_fails_the_job_with_its_reason_and_blames_no_server(
    full_disk: list[int],
) -> None:
    full_disk[0] = 3
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        [job] = queue()
        with lane(server):
            [done] = until_final([job])
            row = Server.objects.get()
            [following] = until_final(queue())
    assert (done.status, done.error_code) == (Status.FAILED, "storage_failed")
    assert (row.health, row.failures_in_row) == (Health.HEALTHY, 0)
    assert following.status == Status.COMPLETED, "the lane lives"
    assert no_attempt_left()


def test_it_may_also_fill_up_between_the_file_and_its_row(
    full_disk: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that a collector took meanwhile is written again inside the transaction."""
    original = store.complete
    calls = []

    def complete(token, stored, after_round):
        calls.append(token)
        if len(calls) == 1:
            for file, _ in stored.files:
                file.path.unlink()
            full_disk[0] = 1
        return original(token, stored, after_round)

    monkeypatch.setattr(store, "complete", complete)
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        [job] = queue()
        with lane(server):
            [done] = until_final([job])
    assert done.status == Status.COMPLETED
    assert len(calls) == 2
    assert Image.objects.count() == 1


def test_something_that_is_no_picture_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    def inspect(data: bytes) -> None:
        raise ValueError("no picture")

    monkeypatch.setattr(store, "inspect", inspect)
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        [job] = queue(max_attempts=1)
        with lane(server, linger=0.05):
            [done] = until_final([job])
    assert (done.status, done.error_code) == (Status.FAILED, "bad_image")
