"""A lane without its lease stores an answer that only it can have, and writes nothing else
(protocol rules 11 and 12)."""

import signal

import pytest

from dispatch.dispatchers.base import Presence
from dispatch.dispatchers.forge import ForgeDispatcher
from dispatch.fakes.forge import FakeForge
from dispatch.lease import Lease, LeaseLost, take
from dispatch.models import Server
from gallery.models import Image
from jobs.choices import Outcome, Status
from jobs.models import Attempt, Job
from tests.dispatch.lane_harness import (
    cancel,
    connected,
    eventually,
    lane,
    no_attempt_left,
    queue,
    samples,
    taken_over,
    until_final,
)
from tests.dispatch.lane_processes import Cluster, frozen_soon, sighting_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_late_picture_is_stored_and_nothing_new_is_begun() -> None:
    with FakeForge(seconds=0.6) as fake:
        server = connected(fake)
        running, waiting = queue(2)
        with lane(server, prefetch_lead=0):
            eventually(lambda: samples(fake))
            successor = taken_over()
        assert len(fake.log.runs()) == 1
    running.refresh_from_db()
    waiting.refresh_from_db()
    assert (running.status, waiting.status) == (Status.COMPLETED, Status.PENDING)
    assert Image.objects.get().job_id == running.pk
    assert Server.objects.get().lane_token == successor


def test_a_late_error_is_left_to_the_lane_that_has_the_lease() -> None:
    with FakeForge(seconds=0.6) as fake:
        server = connected(fake)
        fake.faults.add("http_500", after_steps=3)
        [job] = queue()
        with lane(server):
            eventually(lambda: samples(fake))
            taken_over()
    [attempt] = Attempt.objects.all()
    assert attempt.ended_at is None
    job.refresh_from_db()
    assert (job.status, job.attempts_made) == (Status.PROCESSING, 0)


def test_a_late_half_baked_picture_is_not_stored() -> None:
    with FakeForge(seconds=0.6) as fake:
        server = connected(fake)
        fake.faults.add("foreign_interrupt", after_steps=3)
        queue()
        with lane(server, poll=0.5):
            eventually(lambda: samples(fake))
            taken_over()
    assert not Image.objects.exists()
    assert Attempt.objects.get().ended_at is None


def test_a_cancelled_picture_is_not_interrupted_without_the_lease() -> None:
    with FakeForge(seconds=0.6) as fake:
        server = connected(fake)
        [job] = queue()
        with lane(server):
            eventually(lambda: samples(fake))
            taken_over()
            cancel(job)
        [run] = eventually(lambda: [r for r in fake.log.runs() if r.ended_at])
        assert not run.interrupted
    assert Attempt.objects.get().cleared_at is None, "the other lane sees to it"


def test_the_new_lane_gives_the_old_one_time_to_store_its_picture(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a frozen lane that wakes up would cost a run for nothing."""
    looks: list[Presence] = []
    original = ForgeDispatcher.presence

    def presence(self, *args, **kwargs):
        looks.append(original(self, *args, **kwargs))
        return looks[-1]

    monkeypatch.setattr(ForgeDispatcher, "presence", presence)
    with FakeForge(seconds=0.3) as fake:
        server = connected(fake)
        [job] = queue()
        old = cluster.start(server, halt_at="dispatch.lanes.store.complete", how=signal.SIGSTOP)
        frozen_soon(old)
        with lane(server, sighting=sighting_of(server), grace=2, gone_gap=0.1):
            eventually(lambda: looks.count(Presence.GONE) >= 3)
            old.thaw()
            [done] = until_final([job])
        assert done.status == Status.COMPLETED
        assert len(fake.log.runs()) == 1
    assert job.attempts.get().outcome == Outcome.COMPLETED
    assert no_attempt_left()


def test_a_lane_frozen_before_it_claims_cannot_claim_when_it_wakes_up(cluster: Cluster) -> None:
    """An attempt that it made after the new lane's recovery would be nobody's (rule 2)."""
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        old = cluster.start(
            server, halt_at="dispatch.lanes.claims.Claimer.start", how=signal.SIGSTOP, linger=30
        )
        [job] = queue()
        frozen_soon(old)
        new = cluster.start(server, sighting_of(server), linger=30)
        until_final([job])
        [following] = queue()
        old.thaw()
        old.join()
        assert new.alive
        assert until_final([following])[0].status == Status.COMPLETED
    assert Attempt.objects.count() == 2
    assert len(set(Attempt.objects.values_list("lane", flat=True))) == 1


def test_a_lane_frozen_before_it_sends_costs_one_run_and_no_picture(cluster: Cluster) -> None:
    """Not curable without a look at ids in the backend (protocol §2); bounded by the fence."""
    with FakeForge(seconds=0.2) as fake:
        server = connected(fake)
        [job] = queue()
        old = cluster.start(server, halt_at="dispatch.lanes.run.Run.send", how=signal.SIGSTOP)
        frozen_soon(old)
        cluster.start(server, sighting_of(server))
        assert until_final([job])[0].status == Status.COMPLETED
        old.thaw()
        old.join()
        assert len(fake.log.runs()) == 2
    assert Image.objects.count() == 1
    assert [a.outcome for a in job.attempts.order_by("number")] == [
        Outcome.LOST,
        Outcome.COMPLETED,
    ]


def test_a_lane_frozen_before_it_marks_sends_nothing_when_it_wakes_up(cluster: Cluster) -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        [job] = queue()
        old = cluster.start(
            server, halt_at="dispatch.lanes.claims.Claimer._expect", how=signal.SIGSTOP
        )
        frozen_soon(old)
        cluster.start(server, sighting_of(server))
        assert until_final([job])[0].status == Status.COMPLETED
        old.thaw()
        old.join()
        assert len(fake.log.runs()) == 1


def test_no_fenced_write_goes_through_once_the_lease_is_gone() -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        held = take(server.pk)
        assert isinstance(held, Lease)
        taken_over()
        [job] = queue()
        with pytest.raises(LeaseLost), held.fenced():
            Job.objects.filter(pk=job.pk).update(status=Status.FAILED)
        job.refresh_from_db()
        assert job.status == Status.PENDING
        assert held.lost.is_set()
