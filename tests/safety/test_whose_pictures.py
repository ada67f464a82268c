"""A recovery gives each picture to the job that it was made for, or to nobody."""

from uuid import UUID

import pytest
from django.db import transaction

from apikeys.actors import SYSTEM, Actor
from dispatch.lanes import store
from gallery.files import image_store
from gallery.models import Image
from jobs import services, transitions
from jobs.models import Job
from tests import factories
from tests.safety.world import World, answer, picture


def job(job_id: UUID) -> Job:
    return Job.objects.get(pk=job_id)


def status(job_id: UUID) -> str:
    return job(job_id).status


# --- By what the journal tells ------------------------------------------------------------


def test_what_was_told_before_the_commit_completes_its_job_and_no_other(world: World):
    """Two jobs differ only in their checkpoint; the picture is the second one's."""
    first = world.submit(checkpoint_name="a.safetensors")
    second = world.submit(checkpoint_name="b.safetensors")
    world.die_while_storing(world.run(second))
    assert not Image.objects.exists()
    world.lose()
    assert (status(first), status(second)) == ("pending", "completed")
    assert Image.objects.get().job_id == second


def test_the_rows_are_those_that_the_commit_would_have_stored(world: World):
    owner = factories.user()
    job_id = world.submit("mine", actor=Actor(user_id=owner.pk), n_iter=2)
    world.backup()
    world.die_while_storing(world.run(job_id))
    world.lose()
    images = list(Image.objects.order_by("index"))
    assert [image.seed for image in images] == ["7", "8"]
    for image in images:
        assert image.infotext == "told by the server"
        assert image.server_alias == "gpu"
        assert image.owner_id == owner.pk
        assert image.parameters["positive_prompt"] == "mine"


def test_a_result_that_was_committed_is_there_without_the_line_of_its_end(world: World):
    """The process died between the commit and the second line; then the database was lost."""
    job_id = world.submit()
    attempt = world.run(job_id)
    stored = store.write_files(answer(attempt.job))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("jobs.journal.told_event", lambda *_: None)
        assert store.complete(attempt.token, stored) is not None
    world.lose()
    assert status(job_id) == "completed"
    assert Image.objects.get().attempt == attempt.token


def test_a_late_picture_of_a_cancelled_job_is_no_result(world: World):
    cancelled = world.submit()
    attempt = world.run(cancelled)
    world.die_while_storing(attempt)
    world.cancel(cancelled)
    waits = world.submit(steps=40, checkpoint_name="other.safetensors")
    world.lose()
    assert (status(cancelled), status(waits)) == ("cancelled", "pending")
    assert not Image.objects.exists(), "the collector takes the file, as it always does"


def test_a_picture_of_what_a_job_asked_for_before_it_was_changed_is_no_result(world: World):
    job_id = world.submit("a boat")
    attempt = world.run(job_id)
    world.die_while_storing(attempt)
    with transaction.atomic():
        transitions.end_attempt(attempt.token, outcome="lost")
        assert transitions.requeue(attempt)
    services.patch(job_id, SYSTEM, {}, {"positive_prompt": "a harbour"})
    world.lose()
    assert status(job_id) == "pending"
    assert not Image.objects.exists()


def test_a_result_of_which_a_file_is_gone_is_made_again(world: World):
    job_id = world.submit(n_iter=2)
    attempt = world.run(job_id)
    world.die_while_storing(attempt)
    image_store().path(store.write_files(answer(attempt.job)).files[1][0].sha256).unlink()
    world.lose()
    assert status(job_id) == "pending"
    assert not Image.objects.exists()


def test_a_job_that_was_made_twice_has_its_pictures_once(world: World):
    job_id = world.submit()
    first = world.run(job_id)
    world.die_while_storing(first)
    with transaction.atomic():
        transitions.end_attempt(first.token, outcome="lost")
        assert transitions.requeue(first)
    world.complete(job_id)
    [stored] = Image.objects.all()
    world.lose()
    assert status(job_id) == "completed"
    assert Image.objects.get().attempt == stored.attempt


# --- By what the pictures show ------------------------------------------------------------


def test_a_picture_whose_line_was_never_written_goes_to_the_job_that_asked_for_it(world: World):
    other = world.submit(checkpoint_name="a.safetensors")
    own = world.submit(checkpoint_name="b.safetensors [0123456789]")
    image_store().put(picture(job(own), Model="b"))
    world.lose()
    assert (status(other), status(own)) == ("pending", "completed")


@pytest.mark.parametrize(
    "told",
    [
        {"Steps": 5},
        {"Sampler": "Euler a"},
        {"Size": "64x128"},
        {"Model": "other"},
        {"Model hash": "fedcba9876"},
        {"Seed": 8},
        {"CFG scale": 3},
    ],
    ids=lambda told: next(iter(told)),
)
def test_a_picture_that_shows_anything_else_is_nobodys(world: World, told):
    asked = {"sampler_name": "Euler", "cfg_scale": 7}
    job_id = world.submit(checkpoint_name="mine.safetensors [0123456789]", **asked)
    image_store().put(picture(job(job_id), **{"Model": "mine", **told}))
    report = world.lose()
    assert status(job_id) == "pending"
    assert report.counts["pictures_without_job"] == 1
    assert Image.objects.get().job is None


def test_a_picture_that_two_jobs_asked_for_is_nobodys(world: World):
    jobs = [world.submit(), world.submit()]
    image_store().put(picture(job(jobs[0])))
    world.lose()
    assert [status(job_id) for job_id in jobs] == ["pending", "pending"]
    assert Image.objects.get().job is None


@pytest.mark.parametrize("end", ["cancelled", "deleted", "failed"])
def test_a_job_that_has_ended_gets_no_picture(world: World, end: str):
    job_id = world.submit()
    row = job(job_id)
    if end == "failed":
        with transaction.atomic():
            transitions.fail_pending(row, transitions.Trouble("late", "It came too late."))
    else:
        world.cancel(job_id)
        if end == "deleted":
            services.delete(job_id, SYSTEM)
    image_store().put(picture(row))
    world.backup()
    world.lose()
    assert status(job_id) == ("cancelled" if end == "deleted" else end)
    assert Image.objects.get().job is None


# --- Pictures that were deleted, and files that are gone ----------------------------------


def test_a_picture_that_was_deleted_after_the_backup_stays_deleted(world: World):
    world.complete(world.submit("old"))
    world.backup()
    world.complete(world.submit("new"))
    Image.objects.all().delete()
    report = world.lose()
    assert not Image.objects.exists()
    assert report.counts["pictures_lost"] == 0
    assert world.states() == {"old": "completed", "new": "completed"}


def test_a_row_whose_file_is_gone_is_left_out_and_its_job_named(world: World):
    kept, gone = world.submit("kept"), world.submit("gone")
    world.complete(kept)
    world.complete(gone)
    world.backup()
    image_store().path(Image.objects.get(job=gone).sha256).unlink()
    report = world.lose()
    assert Image.objects.get().job_id == kept
    assert report.counts["jobs_without_pictures"] == [str(gone)]
    assert any(str(gone) in sentence for sentence in world.said)


def test_rows_are_kept_while_the_whole_folder_of_pictures_is_away(world: World):
    """It may be a disk of its own that is not mounted yet."""
    world.complete(world.submit())
    world.backup()
    image_store().root.rename(world.data_dir / "elsewhere")
    world.lose()
    assert Image.objects.count() == 1
    assert any("is its disk there?" in sentence for sentence in world.said)


# --- Several owners -----------------------------------------------------------------------


def test_jobs_and_pictures_are_those_of_their_owners_again(world: World):
    mine, yours = factories.user(), factories.user()
    world.backup()
    owned = {}
    for owner in (mine, yours):
        owned[owner.pk] = world.submit(f"of {owner.username}", actor=Actor(user_id=owner.pk))
        world.complete(owned[owner.pk])
    world.lose()
    for owner in (mine, yours):
        assert job(owned[owner.pk]).owner_id == owner.pk
        assert Image.objects.get(owner_id=owner.pk).job_id == owned[owner.pk]


def test_a_job_of_somebody_who_came_after_the_backup_is_named(world: World):
    world.backup()
    late = factories.user()
    job_id = world.submit("of somebody new", actor=Actor(user_id=late.pk))
    world.complete(job_id)
    report = world.lose()
    assert job(job_id).owner_id is None
    assert Image.objects.get().owner_id is None
    assert report.counts["jobs_without_owner"] == [str(job_id)]
    assert any(str(job_id) in sentence for sentence in world.said)
    assert factories.user("the next one").pk > late.pk, "nobody gets the other's jobs"


def test_a_picture_keeps_its_owner_when_its_job_is_gone(world: World):
    owner = factories.user()
    world.backup()
    job_id = world.submit(actor=Actor(user_id=owner.pk))
    world.complete(job_id)
    services.delete(job_id, SYSTEM)
    world.lose()
    [image] = Image.objects.all()
    assert (image.owner_id, image.job) == (owner.pk, None)
