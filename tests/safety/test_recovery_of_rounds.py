"""What a job made round by round comes back as well, and is not made again."""

from collections.abc import Callable
from unittest import mock
from uuid import UUID

import pytest
from django.db import transaction

from dispatch.dispatchers.base import Answer, Picture
from dispatch.lanes import store
from gallery.models import Image
from jobs import journal, transitions
from jobs.models import Attempt, Job
from tests.safety.world import Killed, World, picture

WANTED = 3


def begin_round(world: World, job_id: UUID) -> tuple[Attempt, store.StoredAnswer]:
    """Claim the next round of a job, and write the file of its one picture."""
    attempt = world.run(job_id)
    Attempt.objects.filter(pk=attempt.pk).update(images=1)
    number = attempt.job.images_made
    made = Picture(picture(attempt.job, number), f"told of {number}", 7 + number)
    info = {"prompt": "a boat", "all_seeds": [7 + number], "image_count": 1}
    return attempt, store.write_files(Answer([made], info))


def make_rounds(world: World, job_id: UUID, count: int) -> None:
    for _ in range(count):
        attempt, stored = begin_round(world, job_id)
        assert store.complete(attempt.token, stored) is not None


def die_in_a_round(world: World, job_id: UUID) -> None:
    """Die after what the journal is told, before the commit, in a lane that would have gone on."""
    attempt, stored = begin_round(world, job_id)
    goes_on = store.AfterRound(transaction.atomic, lambda job: lambda job: "")
    with (
        mock.patch.object(store.transitions, "take_round", side_effect=Killed),
        mock.patch.object(store.transitions, "complete", side_effect=Killed),
        pytest.raises(Killed),
    ):
        store.complete(attempt.token, stored, goes_on)


def places(job_id: UUID) -> list[tuple[int, str]]:
    return list(Image.objects.filter(job=job_id).order_by("index").values_list("index", "seed"))


def submit(world: World) -> UUID:
    return world.submit(n_iter=WANTED)


@pytest.mark.parametrize("before", range(WANTED))
def test_a_job_goes_on_behind_the_rounds_that_were_made(world: World, before: int):
    """However many of them the backup has."""
    job_id = submit(world)
    make_rounds(world, job_id, before)
    world.backup()
    make_rounds(world, job_id, 2 - before)
    world.lose()
    job = Job.objects.get(pk=job_id)
    assert (job.status, job.images_made) == ("pending", 2)
    assert places(job_id) == [(0, "7"), (1, "8")]
    make_rounds(world, job_id, 1)
    job.refresh_from_db()
    assert job.status == "completed"
    assert places(job_id) == [(0, "7"), (1, "8"), (2, "9")]
    assert job.generation_info == {
        "prompt": "a boat",
        "all_seeds": [7, 8, 9],
        "image_count": WANTED,
    }


@pytest.mark.parametrize("before", range(WANTED))
def test_a_job_that_was_completed_in_rounds_has_all_its_pictures(world: World, before: int):
    job_id = submit(world)
    make_rounds(world, job_id, before)
    world.backup()
    make_rounds(world, job_id, WANTED - before)
    world.lose()
    assert Job.objects.get(pk=job_id).status == "completed"
    assert places(job_id) == [(0, "7"), (1, "8"), (2, "9")]


def alone(job_id: UUID) -> None:
    assert transitions.cancel(job_id)


def among_many(job_id: UUID) -> None:
    assert transitions.cancel_pending([job_id]) == 1


@pytest.mark.parametrize("cancel", [alone, among_many])
def test_a_cancelled_job_keeps_what_its_rounds_made(world: World, cancel: Callable[[UUID], None]):
    job_id = submit(world)
    world.backup()
    make_rounds(world, job_id, 2)
    with transaction.atomic():
        cancel(job_id)
    before = Job.objects.get(pk=job_id)
    world.lose()
    job = Job.objects.get(pk=job_id)
    assert (job.status, job.images_made) == ("cancelled", 2)
    assert job.generation_info == before.generation_info
    assert job.started_at is not None
    assert places(job_id) == [(0, "7"), (1, "8")]


@pytest.mark.parametrize("rounds", range(WANTED))
def test_a_round_that_was_told_and_not_stored_counts(world: World, rounds: int):
    """It is not made again; with the last one the job is completed."""
    job_id = submit(world)
    make_rounds(world, job_id, rounds)
    die_in_a_round(world, job_id)
    world.lose()
    assert len(places(job_id)) == rounds + 1
    job = Job.objects.get(pk=job_id)
    assert job.status == ("completed" if rounds + 1 == WANTED else "pending")


def test_a_round_that_was_running_at_the_backup_is_not_stored_twice(world: World):
    """Its server may keep the answer, and give it once more to the lane that adopts the attempt."""
    job_id = submit(world)
    attempt, stored = begin_round(world, job_id)
    world.backup()
    assert store.complete(attempt.token, stored) is not None
    world.lose()
    job = Job.objects.get(pk=job_id)
    assert (job.status, job.server_alias, job.images_made) == ("pending", "", 1)
    again = Attempt.objects.get(token=attempt.token)
    assert (again.outcome, again.cleared_at) == ("round", None), "a lane looks whether it is gone"
    assert store.complete(attempt.token, stored) is None
    with transaction.atomic():
        assert transitions.clear(attempt.token)
    make_rounds(world, job_id, WANTED - 1)
    job.refresh_from_db()
    assert job.status == "completed"
    assert places(job_id) == [(0, "7"), (1, "8"), (2, "9")]


def test_after_a_line_that_is_lost_the_rest_is_made_again(world: World):
    """A hole in the pictures could not be filled later."""
    job_id = submit(world)
    make_rounds(world, job_id, 2)
    [file] = journal.files()
    lines = file.read_bytes().splitlines(keepends=True)
    first = next(n for n, line in enumerate(lines) if b'"result"' in line)
    file.write_bytes(b"".join([*lines[:first], *lines[first + 1 :]]))
    world.lose()
    assert Job.objects.get(pk=job_id).images_made == 0
    make_rounds(world, job_id, WANTED)
    assert [place for place, _ in places(job_id)] == [0, 1, 2]


def test_a_picture_that_was_deleted_stays_deleted(world: World):
    job_id = submit(world)
    make_rounds(world, job_id, 2)
    Image.objects.filter(job=job_id, index=0).delete()
    world.backup()
    world.cancel(job_id)
    world.lose()
    assert places(job_id) == [(1, "8")]
