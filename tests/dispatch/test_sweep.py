"""The sweep only kicks: it closes no attempt and clears no lease (protocol rules 4 and 21)."""

import os
import uuid
from datetime import timedelta
from typing import Any

import psutil
import pytest
from django.utils import timezone
from django_q.models import OrmQ

from dispatch import lease
from dispatch.fakes.forge import FakeForge
from dispatch.lease import this_host
from dispatch.models import Health, Server
from dispatch.sweep import Sweep
from jobs.choices import Outcome, Status
from jobs.models import Attempt, Job
from tests import factories
from tests.dispatch.lane_harness import (
    connected,
    eventually,
    no_attempt_left,
    queue,
    samples,
    until_final,
)
from tests.dispatch.lane_processes import Cluster

pytestmark = pytest.mark.django_db(transaction=True)


def kicks() -> list[tuple[Any, ...]]:
    """Return what lanes were asked for, and forget it."""
    rows = list(OrmQ.objects.filter(key="dispatch").order_by("pk"))
    OrmQ.objects.all().delete()
    return [tuple(row.task["args"]) for row in rows]


def a_server(**fields: Any) -> Server:
    fields.setdefault("checked_at", timezone.now())
    return factories.server(**fields)


def living() -> dict[str, Any]:
    """Return the columns of a lease that this process holds."""
    return {
        "lane_token": uuid.uuid4(),
        "lane_host": this_host(),
        "lane_pid": os.getpid(),
        "lane_started": psutil.Process().create_time(),
        "heartbeat_at": timezone.now(),
    }


def test_a_job_whose_kick_was_lost_gets_a_lane() -> None:
    server = a_server()
    queue()
    Sweep().run()
    assert kicks() == [(server.pk, "", "")]


def test_a_server_without_work_is_left_alone() -> None:
    a_server()
    Sweep().run()
    assert kicks() == []


@pytest.mark.parametrize("state", [{"paused": True}, {"enabled": False}, {"health": "offline"}])
def test_a_server_that_may_or_can_do_nothing_gets_no_lane_for_waiting_jobs(
    state: dict[str, Any],
) -> None:
    a_server(**state)
    queue()
    Sweep().run()
    assert kicks() == []


@pytest.mark.parametrize("state", [{"paused": True}, {"enabled": False}, {"health": "offline"}])
@pytest.mark.parametrize("ended", [False, True])
def test_an_attempt_that_may_still_run_gets_a_lane_in_any_case(
    state: dict[str, Any], ended: bool
) -> None:
    server = a_server(**state)
    attempt = factories.attempt(server_alias=server.alias)
    if ended:
        Attempt.objects.update(ended_at=timezone.now(), outcome=Outcome.CANCELLED)
    Sweep().run()
    assert kicks() == [(server.pk, "", "")]
    attempt.refresh_from_db()
    assert attempt.cleared_at is None
    assert (attempt.ended_at is None) == (not ended)


def test_a_living_lane_is_not_disturbed() -> None:
    a_server(**living())
    queue()
    Sweep().run()
    assert kicks() == []


def test_a_lane_whose_process_is_gone_is_followed_at_once() -> None:
    server = a_server(**{**living(), "lane_pid": 2**22 - 1})
    factories.attempt(server_alias=server.alias)
    Sweep().run()
    assert kicks() == [(server.pk, "", "")]
    assert Server.objects.get().lane_token == server.lane_token, "the sweep clears no lease"


def test_a_silent_lane_elsewhere_is_followed_after_a_while_by_our_own_clock(
    settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LEASE_STALE_SECONDS = 30
    now = 1000.0
    monkeypatch.setattr(lease.time, "monotonic", lambda: now)
    server = a_server(**{**living(), "lane_host": "elsewhere"})
    Server.objects.update(heartbeat_at=timezone.now() - timedelta(days=1))
    server.refresh_from_db()
    queue()
    sweep = Sweep()
    sweep.run()
    now += 29
    sweep.run()
    assert kicks() == []
    now += 2
    sweep.run()
    seen = (server.pk, str(server.lane_token), server.heartbeat_at.isoformat())
    assert kicks() == [seen]
    assert Server.objects.get().lane_token == server.lane_token


def test_the_kick_for_a_silent_lane_takes_it_over_and_a_beating_one_keeps_its_lease(
    cluster: Cluster, settings
) -> None:
    settings.LEASE_STALE_SECONDS = 0
    with FakeForge(seconds=0.1) as fake:
        connected(fake, **{**living(), "lane_host": "elsewhere"})
        jobs = queue()
        OrmQ.objects.all().delete()
        sweep = Sweep()
        sweep.run()
        sweep.run()
        assert OrmQ.objects.filter(key="dispatch").count() == 1
        Server.objects.update(heartbeat_at=timezone.now())  # it beats, late
        [late] = cluster.work_off()
        late.join()
        assert Job.objects.get().status == Status.PENDING
        sweep.run()
        sweep.run()
        cluster.work_off()
        assert until_final(jobs)[0].status == Status.COMPLETED


def test_a_crashed_lane_is_followed_without_any_other_help(cluster: Cluster) -> None:
    with FakeForge(seconds=0.4) as fake:
        connected(fake)
        jobs = queue()
        sweep = Sweep()
        OrmQ.objects.all().delete()
        sweep.run()
        [lane] = cluster.work_off()
        eventually(lambda: samples(fake))
        lane.kill()
        sweep.run()
        assert len(cluster.work_off()) == 1
        assert until_final(jobs)[0].status == Status.COMPLETED
        eventually(no_attempt_left)


def test_a_job_whose_deadline_passes_while_it_waits_fails() -> None:
    [late] = queue(deadline=timezone.now() - timedelta(seconds=1))
    [early] = queue(deadline=timezone.now() + timedelta(hours=1))
    Sweep().run()
    late.refresh_from_db()
    early.refresh_from_db()
    assert (late.status, late.error_code) == (Status.FAILED, "deadline_passed")
    assert early.status == Status.PENDING


def test_a_server_that_was_never_asked_is_asked() -> None:
    server = factories.server(health=Health.UNKNOWN, checked_at=None, probe_at=None)
    Sweep().run()
    [task] = OrmQ.objects.all()
    assert (task.key, tuple(task.task["args"])) == ("background", (server.pk,))
