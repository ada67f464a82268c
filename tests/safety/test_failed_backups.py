"""A backup that can't be made is told to the staff, on every page, until one is made again."""

import os

import pytest
from django.test import Client

from mobilesd.backups import snapshots, tasks
from mobilesd.backups.notices import notices
from tests import factories
from tests.safety.world import World
from tests.signed_in import signed_in


def fail(monkeypatch, error):
    def take(_):
        raise error

    monkeypatch.setattr(snapshots, "take", take)


def told():
    return [notice.text for notice in notices() if notice.for_staff]


def test_it_is_told_since_when_and_why_until_one_is_made(world: World, monkeypatch):
    assert told() == []
    with monkeypatch.context() as patch:
        fail(patch, OSError(28, "No space left on device"))
        assert tasks.look_and_back_up() == "failed"
        os.utime(tasks.failure_file(), (1_000_000_000, 1_000_000_000))
        fail(patch, OSError(13, "Permission denied"))
        assert tasks.look_and_back_up() == "failed"
    [words] = told()
    assert words == (
        "No backup could be made since 01:46 on Sun 09 Sep 2001 (UTC): [Errno 28] No space left on"
        " device."
    )
    assert tasks.look_and_back_up() == "backed up"
    assert told() == []


@pytest.mark.django_db
def test_a_dump_that_fails_is_told_as_well(settings, monkeypatch):
    settings.EMBEDDED = False
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/pg_dump")
    monkeypatch.setattr("mobilesd.backups.dumps.take", _refuse)
    assert tasks.look_and_back_up() == "failed"
    assert "No backup could be made" in told()[0]


def _refuse(_):
    raise OSError("no route to the database")


@pytest.mark.django_db
def test_only_staff_see_it():
    tasks._failed(OSError("broken"))
    assert "No backup could be made" in signed_in(factories.staff(), Client()).get("/").text
    assert "No backup could be made" not in signed_in(factories.user(), Client()).get("/").text
