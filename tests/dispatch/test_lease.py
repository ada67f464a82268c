"""One lane owns a server: taken by compare-and-set, kept by heartbeats (protocol rules 2 to 5)."""

import os
import subprocess
import sys
import time
import uuid
from datetime import timedelta

import psutil
import pytest
from django.db import connection, transaction
from django.utils import timezone

from dispatch import lease
from dispatch.lease import Lease, LeaseLost, Patience, Sighting, take, this_host
from dispatch.models import Server
from mobilesd import sqlite
from tests import factories
from tests.dispatch.lane_harness import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def held_by(pid: int, *, started: float = 0.0, host: str = "", age: float = 0.0) -> Server:
    """Make a server whose lease some process holds."""
    return factories.server(
        lane_token=uuid.uuid4(),
        lane_host=host or this_host(),
        lane_pid=pid,
        lane_started=started,
        heartbeat_at=timezone.now() - timedelta(seconds=age),
    )


def ourselves() -> dict[str, float]:
    return {"pid": os.getpid(), "started": psutil.Process().create_time()}


def test_a_free_lease_is_taken_once() -> None:
    server = factories.server()
    held = take(server.pk)
    assert isinstance(held, Lease)
    assert take(server.pk) is None
    server.refresh_from_db()
    assert (server.lane_token, server.lane_pid) == (held.token, os.getpid())


def test_an_old_heartbeat_alone_frees_no_lease() -> None:
    """After a suspend or a jump of the clock every heartbeat looks old."""
    server = held_by(**ourselves(), age=3600)
    assert take(server.pk) is None


def test_what_a_watcher_saw_unmoved_is_taken_over() -> None:
    server = held_by(**ourselves())
    old = server.lane_token
    held = take(server.pk, Sighting(old, server.heartbeat_at))
    assert held is not None
    assert held.token != old


def test_a_slow_lane_that_beats_first_keeps_its_lease() -> None:
    """Between the sweep's look and the new lane's start it has come back to life."""
    server = held_by(**ourselves())
    seen = Sighting(server.lane_token, server.heartbeat_at)
    assert Lease(server.pk, server.lane_token).renew()
    assert take(server.pk, seen) is None


def test_the_lease_of_a_process_that_is_gone_is_taken_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = psutil.Process(process.pid).create_time()
        server = held_by(process.pid, started=started)
        assert take(server.pk) is None
        process.kill()
        eventually(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
        # Killed and not yet buried: nobody may look after it for long.
        assert take(server.pk) is not None


def test_another_process_with_the_same_number_is_not_the_lanes() -> None:
    server = held_by(os.getpid(), started=psutil.Process().create_time() - 100)
    assert take(server.pk) is not None


def test_nobody_but_its_own_host_knows_that_a_process_is_gone() -> None:
    """A container may share our name, and has process ids of its own."""
    nobody = 2**22 - 1
    assert take(held_by(nobody, host=f"{this_host()}-other").pk) is None


def test_the_heartbeat_moves_and_notices_that_the_lease_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.05)
    server = factories.server()
    held = take(server.pk)
    before = Server.objects.get().heartbeat_at
    held.start_heartbeat()
    try:
        eventually(lambda: Server.objects.get().heartbeat_at > before)
        Server.objects.update(lane_token=uuid.uuid4())
        assert held.lost.wait(5)
    finally:
        held.stop_heartbeat()


def test_the_heartbeat_outlives_a_busy_database(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("one writer at a time is SQLite's")
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(lease, "HEARTBEAT_BUSY_MS", 50)
    server = factories.server()
    held = take(server.pk)
    held.start_heartbeat()
    try:
        writer = sqlite.library().connect(connection.settings_dict["NAME"], isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        time.sleep(0.6)
        stood = Server.objects.get().heartbeat_at
        writer.execute("ROLLBACK")
        writer.close()
        eventually(lambda: Server.objects.get().heartbeat_at > stood)
        assert not held.lost.is_set()
    finally:
        held.stop_heartbeat()


def test_a_released_lease_is_free_and_its_old_lane_can_write_no_more() -> None:
    server = factories.server()
    held = take(server.pk)
    with held.fenced():
        held.release()
    assert take(server.pk) is not None
    with pytest.raises(LeaseLost), held.fenced():
        pass
    with pytest.raises(LeaseLost), transaction.atomic():
        held.release()


def test_staleness_counts_from_when_the_watcher_first_saw_it(
    settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LEASE_STALE_SECONDS = 30
    now = 1000.0
    monkeypatch.setattr(lease.time, "monotonic", lambda: now)
    server = held_by(1, host="elsewhere", age=86400)
    patience = Patience()
    assert patience.stale(server) is None, "the wall clock says a day: it may have jumped"
    now += 29
    assert patience.stale(server) is None
    now += 1
    assert patience.stale(server) == Sighting(server.lane_token, server.heartbeat_at)
    server.heartbeat_at += timedelta(seconds=2)
    assert patience.stale(server) is None, "it beats"
    now += 29
    assert patience.stale(server) is None


def test_no_more_leases_live_at_a_time_than_there_are_lanes(settings) -> None:
    settings.LANES = 1
    first, second = factories.server("a"), factories.server("b")
    held = take(first.pk)
    assert take(second.pk) is None
    with held.fenced():
        held.release()
    assert take(second.pk) is not None


def test_a_dead_lane_uses_up_no_place(settings) -> None:
    settings.LANES = 1
    held_by(2**22 - 1)
    assert take(factories.server("b").pk) is not None
