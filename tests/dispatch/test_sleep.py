"""This machine slept: nobody is judged by the time that passed meanwhile."""

import contextlib
import time
from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from dispatch import sweep as sweeping
from dispatch.fakes.forge import FakeForge
from dispatch.models import Health, Server
from dispatch.sweep import Sweep
from jobs.choices import Outcome, Status
from jobs.models import Attempt, Job
from tests import factories
from tests.dispatch.lane_harness import (
    connected,
    eventually,
    lane,
    queue,
    samples,
    taken_over,
    until_final,
)
from tests.dispatch.lane_processes import Cluster

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_lane_that_stood_still_goes_on_with_its_picture(cluster: Cluster) -> None:
    with FakeForge(seconds=1) as fake:
        server = connected(fake)
        # It shows nothing for 4 s, of which the lane sees half: less than it is patient for.
        fake.faults.add("stall", seconds=4, after_steps=20)
        [job] = queue(params={"steps": 40})
        process = cluster.start(server, awake=1.0, stall=3.2, linger=0.05)
        eventually(lambda: fake.engine.state.sampling_step == 20)
        process.freeze()
        time.sleep(2.5)  # this is the sleep itself
        process.thaw()
        [done] = until_final([job])
        assert len(fake.log.runs()) == 1
    assert (done.status, done.attempts_made) == (Status.COMPLETED, 1)


def test_the_lane_that_slept_writes_nothing_once_another_has_its_server(cluster: Cluster) -> None:
    with FakeForge(seconds=1.5) as fake:
        server = connected(fake)
        [job] = queue()
        process = cluster.start(server, awake=0.5)
        eventually(lambda: samples(fake))
        process.freeze()
        token = taken_over()
        Attempt.objects.update(lane=token)
        time.sleep(0.7)
        process.thaw()
        process.join()
        job.refresh_from_db()
        # Its answer is worth storing (rule 11); nothing else of it may be written.
        assert job.status == Status.COMPLETED
    assert Server.objects.get().lane_token == token
    assert Attempt.objects.get().outcome == Outcome.COMPLETED


def test_a_network_that_is_not_back_yet_makes_no_server_offline() -> None:
    with contextlib.ExitStack() as up:
        fake = up.enter_context(FakeForge(seconds=0.1))
        server = connected(fake)
        with lane(server, linger=2, waking=60) as running:
            until_final(queue())
            up.close()
            running.lane._wakefulness._woke_at = time.monotonic()  # it slept just now
            [job] = queue()
            Server.objects.update(wake_seq=99)
            eventually(lambda: Attempt.objects.filter(outcome=Outcome.NEVER_REACHED))
            job.refresh_from_db()
            assert (job.status, job.attempts_made) == (Status.PENDING, 0)
            assert 0 < (job.retry_at - timezone.now()).total_seconds() <= 5
            assert Server.objects.get().health == Health.HEALTHY
            Job.objects.filter(pk=job.pk).update(deleted_at=timezone.now())


def test_the_sweep_asks_nobody_while_it_wakes(monkeypatch) -> None:
    factories.server(health=Health.HEALTHY, probe_at=timezone.now() - timedelta(hours=8))
    sweep = Sweep()
    sweep.woke()
    sweep.run()
    assert not OrmQ.objects.exists()
    monkeypatch.setattr(sweeping, "WAKING_SECONDS", 0)
    sweep.woke()
    sweep.run()
    assert [row.task["func"] for row in OrmQ.objects.all()] == ["dispatch.tasks.probe_server"]


def test_no_living_lane_is_thought_dead_after_everything_stood_still(settings) -> None:
    settings.LEASE_STALE_SECONDS = 0.3
    factories.server(health=Health.HEALTHY)
    taken_over()
    factories.attempt(server_alias="a")
    sweep = Sweep()
    sweep.run()
    time.sleep(0.4)  # the sweep too was stopped; the lane's next beat is due any moment
    sweep.woke()
    sweep.run()
    assert not OrmQ.objects.exists()
    time.sleep(0.4)
    sweep.run()
    assert [row.task["func"] for row in OrmQ.objects.all()] == ["dispatch.tasks.run_lane"]


def test_what_a_wrong_clock_put_off_for_hours_is_due_again() -> None:
    now = timezone.now()
    wrong = factories.job(retry_at=now + timedelta(hours=5))
    right = factories.job(retry_at=now + timedelta(minutes=9))
    wanted = factories.job(not_before=now + timedelta(hours=5))
    factories.server(probe_at=now + timedelta(hours=5))
    Sweep().woke()
    for job in (wrong, right, wanted):
        job.refresh_from_db()
    assert wrong.retry_at <= timezone.now()
    assert right.retry_at == now + timedelta(minutes=9)
    assert wanted.not_before == now + timedelta(hours=5), "somebody asked for that"
    assert Server.objects.get().probe_at <= timezone.now()
