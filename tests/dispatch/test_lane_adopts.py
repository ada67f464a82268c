"""What a former lane left is looked for before anything new begins (protocol rules 6 and 17)."""

import pytest
from django.db import transaction

from dispatch.fakes.forge import FakeForge
from jobs import again, transitions
from jobs.choices import Outcome, Status
from jobs.models import Attempt
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


def _crash_while_it_runs(cluster: Cluster, fake: FakeForge, server) -> None:
    lane = cluster.start(server)
    eventually(lambda: samples(fake))
    lane.kill()


def test_a_picture_that_still_runs_is_waited_out_and_then_made_again(cluster: Cluster) -> None:
    with FakeForge(seconds=0.6) as fake:
        server = connected(fake)
        [job] = queue()
        _crash_while_it_runs(cluster, fake, server)
        cluster.start(server)
        [done] = until_final([job])
        first, second = fake.log.runs()
    assert done.status == Status.COMPLETED
    assert second.arrived_at > first.ended_at, "no second run beside the first"
    assert first.token != second.token, "a token is sent once in its life"
    lost, made = job.attempts.order_by("number")
    assert (lost.outcome, made.outcome) == (Outcome.LOST, Outcome.COMPLETED)


def test_a_cancelled_picture_that_still_runs_is_waited_out_before_the_next(
    cluster: Cluster,
) -> None:
    with FakeForge(seconds=0.6) as fake:
        server = connected(fake)
        cancelled, following = queue(2)
        _crash_while_it_runs(cluster, fake, server)
        with transaction.atomic():
            transitions.cancel(cancelled.pk)
        attempt = Attempt.objects.get(job=cancelled)
        assert attempt.ended_at is not None
        assert attempt.cleared_at is None
        cluster.start(server)
        assert until_final([following])[0].status == Status.COMPLETED
        first, second = fake.log.runs()
    assert second.arrived_at > first.ended_at, "queued blind behind a run that nobody follows"
    attempt.refresh_from_db()
    assert attempt.outcome == Outcome.CANCELLED
    assert no_attempt_left()


def test_a_cancelled_job_that_is_retried_waits_until_its_old_run_is_gone(cluster: Cluster) -> None:
    with FakeForge(seconds=0.6) as fake:
        server = connected(fake)
        [job] = queue()
        _crash_while_it_runs(cluster, fake, server)
        with transaction.atomic():
            transitions.cancel(job.pk)
            again.retry(job.pk)
        cluster.start(server)
        assert until_final([job])[0].status == Status.COMPLETED
        first, second = fake.log.runs()
    assert second.arrived_at > first.ended_at
    assert no_attempt_left()


def test_an_attempt_cancelled_before_it_was_sent_needs_no_look_up(cluster: Cluster) -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        [job] = queue()
        cluster.start(server, halt_at="jobs.transitions.mark_submitted").join()
        with transaction.atomic():
            transitions.cancel(job.pk)
        cluster.start(server)
        eventually(no_attempt_left)
        assert fake.log.runs() == []


def test_what_runs_is_waited_for_by_its_end_and_not_by_the_clock(cluster: Cluster) -> None:
    """A model load shows no change for longer than any patience of a few seconds."""
    with FakeForge(seconds=0.2, load_seconds=1) as fake:
        server = connected(fake)
        [job] = queue()
        lane = cluster.start(server)
        eventually(lambda: fake.log.runs())
        lane.kill()
        cluster.start(server)
        assert until_final([job])[0].status == Status.COMPLETED
        first, second = fake.log.runs()
    assert second.arrived_at > first.ended_at
