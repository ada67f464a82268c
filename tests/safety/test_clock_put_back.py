"""A clock that was put back between backup, journal and recovery changes nothing: events count."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from apikeys.actors import SYSTEM
from jobs import again, journal, services
from jobs.models import Job
from mobilesd.backups import snapshots
from tests.safety.world import World


@pytest.fixture
def put_back(monkeypatch) -> Callable[[timedelta], None]:
    """Return what puts the clock back by so much."""

    def put(by: timedelta) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(tz) - by

        monkeypatch.setattr(timezone, "now", lambda: datetime.now(UTC) - by)
        monkeypatch.setattr(journal, "datetime", Clock)

    return put


TWO_DAYS = timedelta(days=2)


def test_what_came_after_it_is_recovered(world: World, put_back):
    done, cancelled = world.submit("done"), world.submit("cancelled")
    changed = world.submit("changed")
    world.backup()
    put_back(TWO_DAYS)
    world.complete(done)
    world.cancel(cancelled)
    services.patch(changed, SYSTEM, {}, {"steps": 33})
    world.submit("new")
    world.lose()
    assert world.states() == {
        "done": "completed",
        "cancelled": "cancelled",
        "changed": "pending",
        "new": "pending",
    }
    assert Job.objects.get(pk=changed).generation_params["steps"] == 33


def test_the_later_change_wins_though_its_file_sorts_first(world: World, put_back):
    job_id = world.submit()
    world.cancel(job_id)
    put_back(TWO_DAYS)
    with transaction.atomic():
        assert again.retry(job_id)
    assert len(journal.files()) == 2
    assert journal.read().jobs[str(job_id)]["status"] == "pending"
    world.lose()
    assert world.states() == {"a boat": "pending"}


def test_a_database_older_than_the_newest_line_is_found_whatever_file_that_is_in(
    world: World, put_back
):
    world.submit("first")
    world.close()
    old = shutil.copy(world.file, world.data_dir / "old")
    put_back(TWO_DAYS)
    world.submit("second")
    world.close()
    shutil.move(old, world.file)
    report = world.start()
    assert report is not None
    assert "older than its journal" in report.trouble
    assert set(world.states()) == {"first", "second"}


def test_what_a_backup_has_is_not_taken_from_the_journal_again(world: World):
    """Else a job that was purged before the backup would be there again."""
    job_id = world.submit("purged")
    world.submit("stays")
    world.cancel(job_id)
    Job.objects.filter(pk=job_id).delete()
    world.backup()
    world.submit("new")
    report = world.lose()
    assert set(world.states()) == {"stays", "new"}
    assert report.counts["jobs_again"] == 1


def test_the_file_that_is_written_now_is_not_deleted(world: World, put_back):
    """By its name it is not the last one."""
    world.submit("before")
    put_back(timedelta(hours=5))
    world.submit("after")
    written = journal._writer._path
    assert written != journal.files()[-1]
    world.backup()
    snapshots.take(datetime.now(UTC) + timedelta(hours=1))
    assert written in journal.files()
