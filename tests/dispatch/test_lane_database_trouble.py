"""A database that is busy, full or gone for a moment delays a lane and loses no work."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, connections

from dispatch.fakes.forge import FakeForge
from dispatch.lanes import lane as lane_module
from dispatch.lanes import store
from dispatch.models import Server
from gallery.models import Image
from jobs import transitions
from jobs.choices import Status
from jobs.models import Attempt
from mobilesd import sqlite
from tests.dispatch.lane_harness import (
    cancel,
    connected,
    eventually,
    failing,
    lane,
    no_attempt_left,
    queue,
    samples,
    taken_over,
    until_final,
)

pytestmark = pytest.mark.django_db(transaction=True)


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Hold the one write lock, as another program with a long transaction would."""
    writer = sqlite.library().connect(connection.settings_dict["NAME"], isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        writer.execute("ROLLBACK")
        writer.close()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let new connections wait for a lock for a moment only."""
    if connection.vendor != "sqlite":
        pytest.skip("one writer at a time is SQLite's")
    monkeypatch.setitem(connections["default"].settings_dict["OPTIONS"], "timeout", 0.1)


@pytest.mark.usefixtures("_impatient")
def test_a_picture_that_comes_while_the_database_is_locked_is_stored_later() -> None:
    with FakeForge(seconds=0.4) as fake:
        server = connected(fake)
        jobs = queue(2)
        with lane(server, breath=0.05, prefetch_lead=0):
            eventually(lambda: samples(fake))
            with locked():
                eventually(lambda: fake.log.runs()[0].ended_at)
                time.sleep(0.5)
            done = until_final(jobs)
        assert len(fake.log.runs()) == 2, "nothing was made twice"
    assert [(job.status, job.attempts_made) for job in done] == [(Status.COMPLETED, 1)] * 2
    assert Image.objects.count() == 2


@pytest.mark.usefixtures("_impatient")
def test_an_idle_lane_outlives_a_locked_database() -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        with lane(server, breath=0.05, linger=1.2) as running:
            eventually(lambda: running.lane and Server.objects.get().lane_token)
            with locked():
                time.sleep(0.4)
            jobs = queue()
            assert until_final(jobs)[0].status == Status.COMPLETED


@pytest.mark.parametrize(
    ("name", "attempts"),
    [("claim", 1), ("mark_submitted", 2), ("complete", 1), ("clear", 1)],
)
def test_a_failure_at_any_write_loses_no_job_and_sends_none_twice(
    monkeypatch: pytest.MonkeyPatch, name: str, attempts: int
) -> None:
    failing(monkeypatch, transitions, name)
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        [job] = queue()
        with lane(server, breath=0.05):
            [done] = until_final([job])
        assert len(fake.log.runs()) == 1
    assert done.status == Status.COMPLETED
    assert Attempt.objects.count() == attempts
    assert no_attempt_left()


def test_a_failure_while_an_error_is_noted_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, transitions, "end_attempt", times=2)
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        fake.faults.add("oom")
        [job] = queue(max_attempts=1)
        with lane(server, breath=0.05):
            [done] = until_final([job])
        # The second one is the next step against too little memory, and not the first once more.
        assert len(fake.log.runs()) == 2
    assert (done.status, done.memory_step) == (Status.COMPLETED, 1)


def test_a_failure_while_a_cancelled_run_is_cleared_is_made_up_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FakeForge(seconds=0.5) as fake:
        server = connected(fake)
        [job] = queue()
        with lane(server, breath=0.05):
            eventually(lambda: samples(fake))
            failing(monkeypatch, transitions, "clear", times=2)
            cancel(job)
            eventually(no_attempt_left)


def test_a_lane_without_its_lease_tries_again_to_store_its_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    with FakeForge(seconds=0.5) as fake:
        server = connected(fake)
        [job] = queue()
        with lane(server):
            eventually(lambda: samples(fake))
            failing(monkeypatch, store, "complete", times=2)
            taken_over()
    job.refresh_from_db()
    assert job.status == Status.COMPLETED


def test_whatever_breaks_a_lane_its_picture_is_stored_and_its_server_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also for what nobody thought of: the next lane need not wait until this one looks dead."""
    with FakeForge(seconds=0.6) as fake:
        server = connected(fake)
        running_job, _waiting = queue(2)
        broke = threading.Event()

        def breaks(self: Any, glance: Any) -> None:
            broke.set()
            raise ZeroDivisionError

        with pytest.raises(AssertionError), lane(server, prefetch_lead=0) as running:
            eventually(lambda: samples(fake))
            monkeypatch.setattr(lane_module.Lane, "_follow", breaks)
            assert broke.wait(5)
        running.thread.join(10)
        assert isinstance(running.errors[0], ZeroDivisionError)
        running_job.refresh_from_db()
        assert running_job.status == Status.COMPLETED
        assert Server.objects.get().lane_token is None
