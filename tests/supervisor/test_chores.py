"""The periodic work: each part in its time, and no failure stops the rest."""

import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from django_q.models import OrmQ

from mobilesd.supervisor.chores import Chores
from tests import factories

pytestmark = pytest.mark.django_db


class Manager:
    def __init__(self) -> None:
        self.running = {}
        self.lanes = []
        self.demo = []
        self.hung = []

    def clusters(self):
        return self.running

    def cluster_hangs(self, name, boot_id, *, working):
        self.hung.append((name, boot_id, working))

    def want_lanes(self, lanes):
        self.lanes.append(lanes)

    def want_demo(self, port):
        self.demo.append(port)


def running(**fields) -> SimpleNamespace:
    return SimpleNamespace(**{"boot_id": "b", "lanes": 2, "started_at": time.monotonic(), **fields})


def queued(cluster: str, *, taken_seconds_ago: float | None) -> OrmQ:
    now = timezone.now()
    lock = now if taken_seconds_ago is None else now + timedelta(seconds=7200 - taken_seconds_ago)
    return OrmQ.objects.create(key=cluster, payload="", lock=lock)


def test_counts_the_enabled_servers_for_the_lanes():
    factories.server("a")
    factories.server("b")
    factories.server("c", enabled=False)
    manager = Manager()
    Chores(manager, None, demo=False)._count_lanes()
    assert manager.lanes == [2]


def test_a_failing_chore_is_logged_and_tried_again(monkeypatch, caplog):
    from dispatch.sweep import Sweep

    def locked(self):
        raise OperationalError("database is locked")

    monkeypatch.setattr(Sweep, "run", locked)
    chores = Chores(Manager(), "dispatch", demo=False)
    chores._do(chores._sweep)
    assert "sweep: OperationalError: database is locked" in caplog.text


def test_the_sweep_remembers_what_it_saw(monkeypatch):
    from dispatch.sweep import Sweep

    sweepers = []
    monkeypatch.setattr(Sweep, "run", lambda self: sweepers.append(self))
    chores = Chores(Manager(), None, demo=False)
    chores._sweep()
    chores._sweep()
    assert sweepers[0] is sweepers[1]


DELIVER = ("wake_deliveries", "wake_notifying")


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (
            None,
            {
                "watch_clusters",
                "sweep",
                "count_lanes",
                "prune",
                "keep_house",
                "wake_deliveries",
                "wake_notifying",
                "back_up",
            },
        ),
        ("web", {"watch_clusters"}),
        ("dispatch", {"watch_clusters", "sweep", "count_lanes"}),
        (
            "background",
            {
                "watch_clusters",
                "prune",
                "keep_house",
                "wake_deliveries",
                "wake_notifying",
                "back_up",
            },
        ),
    ],
)
def test_each_role_has_its_own_chores(only, expected):
    chores = Chores(Manager(), only, demo=False)
    assert {chore.__name__.strip("_") for chore in chores._period} == expected


@pytest.mark.skipif(connection.vendor != "sqlite", reason="Elsewhere another machine may have it.")
def test_what_a_dead_cluster_had_taken_is_given_to_the_next_one():
    manager = Manager()
    manager.running["background"] = running(started_at=time.monotonic() - 5)
    by_the_dead = queued("background", taken_seconds_ago=60)
    by_the_new = queued("background", taken_seconds_ago=2)
    of_the_other = queued("dispatch", taken_seconds_ago=60)

    Chores(manager, None, demo=False)._watch_clusters()

    now = timezone.now()
    locks = {row.pk: row.lock for row in OrmQ.objects.all()}
    assert locks[by_the_dead.pk] <= now
    assert locks[by_the_new.pk] > now
    assert locks[of_the_other.pk] > now


def test_tasks_are_left_alone_where_other_machines_may_have_them(settings):
    settings.EMBEDDED = False
    manager = Manager()
    manager.running["background"] = running()
    row = queued("background", taken_seconds_ago=60)
    Chores(manager, None, demo=False)._watch_clusters()
    row.refresh_from_db()
    assert row.lock > timezone.now()


def test_a_hung_cluster_is_told_once_for_each_start(settings):
    settings.PROBE_SECONDS, settings.PROBE_WAIT_SECONDS = 0, -1
    manager = Manager()
    manager.running["dispatch"] = running()
    chores = Chores(manager, None, demo=False)
    chores._watch_clusters()
    chores._watch_clusters()
    assert manager.hung == [("dispatch", "b", False)]


def test_a_larger_cluster_has_more_workers():
    chores = Chores(Manager(), None, demo=False)
    watch = chores._new_watch("dispatch", running(lanes=5))
    assert watch.workers == 7
