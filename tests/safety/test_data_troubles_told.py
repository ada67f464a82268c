"""What goes wrong with the data reaches administrators where they are, once a day for a cause."""

import subprocess
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils import timezone

from jobs import events
from jobs.models import Event, Notice
from jobs.notifications import runner
from mobilesd.backups import snapshots, tasks
from mobilesd.backups.telling import cause_of
from tests import factories
from tests.notifications.conftest import notifier, receiver, told  # noqa: F401  fixtures
from tests.safety.world import World

KINDS = ["backup_failed", "database_damaged"]
NO_ROOM = OSError(28, "No space left on device", "/home/anna/data/backups/x")


@pytest.fixture
def anna(world: World) -> Any:
    return factories.staff("anna")


def fail(monkeypatch, error: Exception) -> None:
    def take(_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "take", take)
        assert tasks.look_and_back_up() == "failed"


def quiet(*_: str) -> str:
    return ""


def test_a_backup_that_fails_is_told_once_a_day_for_each_cause(world, notifier, monkeypatch):  # noqa: F811
    notifier(kinds=KINDS)
    for error in (NO_ROOM, NO_ROOM, ValueError("the backup is not whole: row 7 missing")):
        fail(monkeypatch, error)
    assert runner.run(send=quiet) == 1
    assert told() == [("backup_failed", "No backup could be made")] * 2
    texts = list(Notice.objects.order_by("pk").values_list("text", flat=True))
    assert texts == [
        "No space left on device. It is tried again each hour.",
        "the backup is not whole. It is tried again each hour.",
    ]
    Event.objects.update(at=timezone.now() - timedelta(days=1, minutes=1))
    fail(monkeypatch, NO_ROOM)
    runner.run(send=quiet)
    assert len(told()) == 3


def test_members_are_not_told(world, notifier, monkeypatch):  # noqa: F811
    notifier(owner=factories.user("bob"), kinds=KINDS)
    fail(monkeypatch, NO_ROOM)
    runner.run(send=quiet)
    assert told() == []


def test_quiet_hours_hold_it_back(world, notifier, monkeypatch):  # noqa: F811
    now = timezone.now()
    begin, over = now - timedelta(hours=1), now + timedelta(hours=1)
    notifier(kinds=KINDS, quiet_hours=f"{begin:%H:%M}-{over:%H:%M}", time_zone="UTC")
    fail(monkeypatch, NO_ROOM)
    assert runner.run(send=quiet) == 0
    assert Notice.objects.get().due_at > now + timedelta(minutes=50)


def test_a_database_that_takes_no_event_does_not_keep_the_failure_from_its_page(world, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise DatabaseError("database or disk is full")

    monkeypatch.setattr(events, "emit", refuse)
    fail(monkeypatch, NO_ROOM)
    assert "No space left" in tasks.failure_file().read_text()


def test_a_rebuilt_database_is_told_by_the_new_one(world, notifier):  # noqa: F811
    notifier(kinds=KINDS)
    world.submit("a boat")
    world.backup()
    world.lose()
    runner.run(send=quiet)
    [(kind, title)] = [entry for entry in told() if entry[0] in KINDS]
    assert (kind, title) == ("database_damaged", "The database was damaged")
    assert "was rebuilt from the backup of" in Notice.objects.get(kind=kind).text


def test_damaged_rows_are_told(world, notifier):  # noqa: F811
    notifier(kinds=KINDS)
    job_id = world.submit("a boat")
    tasks.look_at_rows()
    world.sql("UPDATE jobs_job SET checkpoint = 'other' WHERE id = ?", job_id.hex)
    assert tasks.look_at_rows() == 1
    tasks.look_at_rows()
    runner.run(send=quiet)
    assert told() == [("database_damaged", "The database was damaged")]
    assert "manage.py doctor --repair" in Notice.objects.get().text


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (NO_ROOM, "No space left on device"),
        (OSError("odd"), "odd"),
        (subprocess.CalledProcessError(1, ["/usr/bin/pg_dump", "--file=/x"]), "pg_dump failed"),
        (subprocess.TimeoutExpired(["pg_restore", "/x"], 9), "pg_restore failed"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_a_cause_reads_the_same_each_time_and_names_no_path(error, cause):
    assert cause_of(error) == cause
