"""A backend that is down or starting costs time and nothing else: no attempt, no limit."""

import pytest

from dispatch import health, standing
from dispatch.fakes.forge import FakeForge
from dispatch.models import Health, Server
from dispatch.sweep import Sweep
from jobs.choices import Outcome, Status
from jobs.models import Attempt
from tests.dispatch.lane_harness import (
    connected,
    earlier,
    eventually,
    lane,
    queue,
    samples,
    until_final,
)
from tests.dispatch.lane_processes import Cluster

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_server_that_went_away_between_look_and_send_counts_no_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lane has greeted it, and then nobody listens any more."""
    from dispatch.lanes.lane import Lane

    monkeypatch.setattr(Lane, "_greet", lambda self: None)
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
    [job] = queue()
    with lane(server, linger=0.05):
        pass
    job.refresh_from_db()
    assert (job.status, job.attempts_made) == (Status.PENDING, 0)
    assert [a.outcome for a in Attempt.objects.all()] == [Outcome.NEVER_REACHED]
    assert Server.objects.get().health == Health.OFFLINE


def test_a_starting_server_is_not_taken_for_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from dispatch.lanes.lane import Lane

    monkeypatch.setattr(Lane, "_greet", lambda self: None)
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        fake.faults.add("not_ready", times=1)
        [job] = queue()
        with lane(server, linger=0.05):
            pass
    job.refresh_from_db()
    assert (job.status, job.attempts_made) == (Status.PENDING, 0)
    assert [a.outcome for a in Attempt.objects.all()] == [Outcome.NEVER_REACHED]
    assert Server.objects.get().health == Health.STARTING


def test_many_tries_that_never_reached_it_fail_no_job() -> None:

    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        [job] = queue()
        earlier(job, *[Outcome.NEVER_REACHED] * 50)
        with lane(server, linger=0.05):
            [done] = until_final([job])
    assert (done.status, done.attempts_made) == (Status.COMPLETED, 1)


def test_a_lane_leaves_a_dead_server_alone_and_a_probe_brings_it_back(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "_OFFLINE_FIRST_SECONDS", 0.2)
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
    [job] = queue()
    with lane(server):
        pass
    assert Server.objects.get().health == Health.OFFLINE
    assert Server.objects.get().lane_token is None
    sweep = Sweep()
    with FakeForge(port=fake.port, seconds=0.1, startup_seconds=0.6):

        def come_round() -> bool:
            sweep.run()
            cluster.work_off()
            job.refresh_from_db()
            return job.is_final

        eventually(come_round)
    assert (job.status, job.attempts_made) == (Status.COMPLETED, 1)


def test_a_password_that_is_refused_fails_no_job() -> None:
    with FakeForge(seconds=0.1, api_auth="me:right") as fake:
        server = connected(fake, username="me", password="right")
        server.password = "wrong"
        Server.objects.filter(pk=server.pk).update(sealed_password=server.sealed_password)
        [job] = queue()
        with lane(server, linger=0.05):
            pass
        assert fake.log.runs() == []
    assert Server.objects.get().health == Health.REFUSED
    job.refresh_from_db()
    assert (job.status, job.attempts_made) == (Status.PENDING, 0)


def test_a_backend_that_dies_in_the_middle_gets_the_job_again(cluster: Cluster) -> None:
    with FakeForge(seconds=0.6) as fake:
        server = connected(fake)
        jobs = queue(2)
        with lane(server, linger=0.05, prefetch_lead=60):
            eventually(lambda: samples(fake) and len(fake.log.runs()) == 2)
            fake.stop()
        assert Server.objects.get().health == Health.OFFLINE
    # The second one only waited: neither it nor the server is blamed twice for one death.
    outcomes = [job.attempts.get().outcome for job in jobs]
    assert outcomes == [Outcome.BACKEND_DIED, Outcome.NEVER_REACHED]
    assert Server.objects.get().failures_in_row == 1
    with FakeForge(port=fake.port, seconds=0.1):
        health.check(server)
        with lane(server, linger=0.05):
            done = until_final(jobs)
    assert [(job.status, job.attempts_made) for job in done] == [(Status.COMPLETED, 1)] * 2
