"""A database that is damaged, cut short or gone comes back by itself at the next start."""

import shutil
from uuid import UUID

import pytest
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from apikeys.actors import SYSTEM, Actor
from gallery.files import image_store
from gallery.models import Image
from jobs import events, journal, services, transitions
from jobs.models import Idempotency, Job
from jobs.services import Need, undo
from jobs.services.chains import needs_of
from mobilesd.backups import reports
from tests import factories
from tests.safety.world import A_DAY, World, a_day, picture


def test_a_database_that_is_whole_is_left_alone(world: World):
    world.submit()
    world.backup()
    assert world.start() is None
    assert world.said == []


def test_a_new_installation_is_no_loss(world: World):
    shutil.rmtree(world.data_dir / "backups")
    world.close()
    world.file.unlink()
    assert world.start() is None


def harm_gone(world: World) -> None:
    world.close()
    world.file.unlink()


def harm_empty(world: World) -> None:
    world.close()
    world.file.write_bytes(b"")


def harm_truncated(world: World) -> None:
    world.close()
    content = world.file.read_bytes()
    world.file.write_bytes(content[: len(content) // 2])


def harm_log_deleted(world: World) -> None:
    world.close(checkpoint=False)
    world.files()[1].unlink()


def harm_log_truncated(world: World) -> None:
    world.close(checkpoint=False)
    content = world.files()[1].read_bytes()
    world.files()[1].write_bytes(content[: len(content) // 2])


def harm_header(world: World) -> None:
    world.close()
    for offset in range(16):
        world.flip(offset)


HARMS = [
    harm_gone,
    harm_empty,
    harm_truncated,
    harm_log_deleted,
    harm_log_truncated,
    harm_header,
]


@pytest.mark.parametrize("harm", HARMS)
def test_everything_accepted_is_there_again(world: World, harm):
    a_day(world)
    before = events.epoch()
    pictures = Image.objects.count()
    harm(world)
    report = world.start()
    assert report is not None
    assert world.states() == A_DAY
    assert Image.objects.count() == pictures
    assert Job.objects.get(generation_params__positive_prompt="new done").images.count() == 2
    assert events.epoch() != before
    assert any("was rebuilt from" in line for line in world.said)
    assert world.start() is None, "once is enough"


def test_without_any_backup_the_journal_alone_brings_the_jobs_back(world: World):
    a_day(world)
    for snapshot in (world.data_dir / "backups").iterdir():
        snapshot.unlink()
    harm_truncated(world)
    report = world.start()
    assert report is not None
    assert report.base.startswith("nothing")
    assert world.states() == A_DAY


def test_a_damaged_backup_is_passed_over_for_an_older_one(world: World):
    world.submit("first")
    older = world.backup()
    world.submit("second")
    newer = older.path.with_name("mobilesd-29990101T000000.sqlite3")
    newer.write_bytes(older.path.read_bytes()[:5000])
    harm_gone(world)
    report = world.start()
    assert report is not None
    assert f"{older.at:%Y-%m-%d %H:%M}" in report.base
    assert set(world.states()) == {"first", "second"}


def test_an_idempotency_key_is_known_again(world: World):
    job_id = world.submit(key="once")
    harm_gone(world)
    assert world.start() is not None
    assert Idempotency.objects.get(key="once").job_id == job_id
    assert world.submit(key="once") == job_id


def test_a_deleted_job_stays_deleted(world: World):
    job_id = world.submit("unwanted")
    services.delete(job_id, SYSTEM)
    world.submit("wanted")
    harm_gone(world)
    assert world.start() is not None
    assert set(world.states()) == {"wanted"}


def delete_and_bring_back(job_id: UUID) -> None:
    taken = services.delete(job_id, SYSTEM).undo
    assert taken is not None
    assert undo.undo(taken.pk, SYSTEM).restored == 1


@pytest.mark.parametrize("backup", ["before", "after"])
def test_a_completed_job_that_was_deleted_and_brought_back_is_as_it_was(world: World, backup: str):
    job_id = world.submit()
    if backup == "before":
        world.backup()
    world.complete(job_id)
    if backup == "after":
        world.backup()
    completed_by = timezone.now()
    delete_and_bring_back(job_id)
    harm_gone(world)
    assert world.start() is not None
    job = Job.objects.get(pk=job_id)
    assert job.status == "completed"
    assert job.finished_at is not None
    assert job.finished_at <= completed_by
    assert Image.objects.filter(job=job_id).count() == 1


def test_a_failed_job_that_was_deleted_and_brought_back_says_why_it_failed(world: World):
    job_id = world.submit()
    world.backup()
    with transaction.atomic():
        trouble = transitions.Trouble("deadline_passed", "It was too late.", "Ask earlier.")
        assert transitions.fail_pending(Job.objects.get(pk=job_id), trouble)
    delete_and_bring_back(job_id)
    harm_gone(world)
    assert world.start() is not None
    job = Job.objects.get(pk=job_id)
    assert (job.status, job.error_code, job.error_message, job.error_hint) == (
        "failed",
        "deadline_passed",
        "It was too late.",
        "Ask earlier.",
    )


@pytest.mark.parametrize("backup", [True, False], ids=["backup", "no backup"])
def test_a_job_that_was_let_go_does_not_wait_again(world: World, backup: bool):
    first, other = world.submit("first"), world.submit("other")
    freed, changed = (world.submit_after(first, other, prompt=words) for words in ("a", "b"))
    if backup:
        world.backup()
    services.wait_no_more(freed, first, SYSTEM)
    services.wait_no_more(freed, other, SYSTEM)
    services.patch(changed, SYSTEM, {"depends_on": (Need(other, "run"),)}, {})
    harm_gone(world)
    assert world.start() is not None
    assert needs_of(freed) == ()
    assert needs_of(changed) == (Need(other, "run"),)
    assert not Job.objects.get(pk=freed).blocked
    assert Job.objects.get(pk=changed).blocked


def test_a_job_that_waits_anew_after_it_was_let_go_waits(world: World):
    first, last = world.submit("first"), world.submit("last")
    world.backup()
    for needs in ((Need(first),), (), (Need(first, "run"),)):
        services.patch(last, SYSTEM, {"depends_on": needs}, {})
    harm_gone(world)
    assert world.start() is not None
    assert needs_of(last) == (Need(first, "run"),)


def test_a_job_whose_pictures_are_on_disk_is_completed_and_not_run_again(world: World):
    """The process died between the commit of the pictures and their line in the journal."""
    job = Job.objects.get(pk=world.submit("on disk", n_iter=2))
    for number in range(2):
        image_store().put(picture(job, number))
    world.submit("not made yet")
    harm_gone(world)
    assert world.start() is not None
    assert world.states() == {"on disk": "completed", "not made yet": "pending"}
    assert Image.objects.filter(job=job.pk).count() == 2


def test_half_of_the_pictures_are_no_result(world: World):
    job = Job.objects.get(pk=world.submit("half", n_iter=2))
    image_store().put(picture(job, 0))
    harm_gone(world)
    assert world.start() is not None
    assert world.states() == {"half": "pending"}


def test_a_picture_of_nobody_is_kept_in_the_gallery(world: World):
    job = Job.objects.get(pk=world.submit("lost"))
    world.backup()
    stored = image_store().put(picture(job))
    for file in journal.files():
        file.unlink()
    world.sql("DELETE FROM jobs_jobtext")
    world.sql("DELETE FROM jobs_event")
    world.sql("DELETE FROM jobs_job")
    world.backup()
    for old in sorted((world.data_dir / "backups").glob("*.sqlite3"))[:-1]:
        old.unlink()
    harm_gone(world)
    report = world.start()
    assert report is not None
    assert report.counts["pictures_without_job"] == 1
    assert Image.objects.get().sha256 == stored.sha256


def test_the_damaged_files_are_set_aside(world: World):
    world.submit()
    world.backup()
    harm_truncated(world)
    damaged = world.file.read_bytes()
    report = world.start()
    assert report is not None
    [kept] = (world.data_dir / "set-aside").glob("*/mobilesd.sqlite3")
    assert kept.read_bytes() == damaged


def test_event_ids_go_on_where_they_were(world: World):
    """A client that resumes by an id must not find another event under it."""
    world.submit("one")
    world.backup()
    world.submit("two")
    [(last,)] = world.sql("SELECT max(id) FROM jobs_event")
    harm_gone(world)
    world.start()
    world.submit("three")
    [(newest,)] = world.sql("SELECT max(id) FROM jobs_event")
    assert newest > last


def test_the_storage_page_tells_what_came_back_and_links_the_jobs(world: World, client):
    late = factories.user()
    job_id = world.submit("of somebody new", actor=Actor(user_id=late.pk))
    world.lose()
    client.force_login(factories.staff())
    page = reverse("storage")
    text = client.get(page).text
    assert "was rebuilt from the backup of" in text
    assert "came back: 1 job, the state of 0 more" in text
    assert f'href="{reverse("job", args=[job_id])}"' in text
    [report] = reports.reports()
    assert client.post(reverse("recovery-dismiss", args=[report.name])).status_code == 302
    assert "was rebuilt from the backup of" not in client.get(page).text
