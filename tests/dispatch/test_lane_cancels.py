"""A cancel is final at once; the backend is cleaned up with care (protocol rules 13 to 16)."""

import threading

import pytest
import requests
from django.db import transaction
from django.utils import timezone

from dispatch.fakes.forge import FakeForge
from dispatch.lanes.claims import Claimer
from dispatch.lanes.reporting import Reporter
from dispatch.lanes.run import Run
from dispatch.lease import take
from dispatch.models import Interrupt, Server
from gallery.models import Image
from jobs import transitions
from jobs.choices import Outcome, Status
from jobs.models import Attempt, Job, JobProgress
from tests import factories
from tests.dispatch.lane_harness import (
    cancel,
    connected,
    eventually,
    lane,
    no_attempt_left,
    queue,
    samples,
    until_final,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_running_picture_that_is_surely_ours_is_stopped() -> None:
    with FakeForge(seconds=4) as fake:
        server = connected(fake)
        cancelled, following = queue(2)
        with lane(server, linger=0.05):
            eventually(lambda: samples(fake))
            cancel(cancelled)
            assert Job.objects.get(pk=cancelled.pk).status == Status.CANCELLED
            [run] = fake.log.runs()
            eventually(lambda: run.ended_at, 2)
            assert run.interrupted
            fake.engine.seconds = 0.1
            assert until_final([following])[0].status == Status.COMPLETED
    attempt = Attempt.objects.get(job=cancelled)
    assert attempt.outcome == Outcome.CANCELLED
    assert attempt.cleared_at is not None
    assert not Image.objects.filter(job=cancelled).exists()
    assert not JobProgress.objects.filter(job=cancelled).exists()
    assert not fake.log.runs()[1].interrupted


def test_the_progress_of_a_cancelled_picture_is_not_written_any_more() -> None:
    """The cancel has removed it, and the lane has not noticed the cancel yet."""
    held = take(factories.server("a").pk)
    attempt = factories.attempt(lane=held.token, submitted_at=timezone.now())
    run = Run(attempt)
    Reporter(held).report(run, None)
    assert JobProgress.objects.exists()
    cancel(attempt.job)
    Reporter(held).report(run, None)
    assert not JobProgress.objects.exists()


def test_nothing_is_stopped_while_a_picture_of_somebody_else_waits_behind_it() -> None:
    """Between the look and the act the next one may have begun."""
    with FakeForge(seconds=1) as fake:
        server = connected(fake)
        [job] = queue()
        with lane(server, linger=0.05):
            eventually(lambda: samples(fake))
            theirs = {"prompt": "theirs", "steps": 4, "width": 64, "height": 64}
            url = f"{fake.url}/sdapi/v1/txt2img"
            foreign = threading.Thread(target=requests.post, args=(url,), kwargs={"json": theirs})
            foreign.start()
            eventually(fake.engine.tasks.pending)
            cancel(job)
            eventually(no_attempt_left)
            foreign.join()
        assert [run.interrupted for run in fake.log.runs()] == [False, False]
    assert not Image.objects.exists()


def test_never_lets_it_end_and_throws_it_away() -> None:
    with FakeForge(seconds=0.6) as fake:
        server = connected(fake, interrupt=Interrupt.NEVER)
        [job] = queue()
        with lane(server, linger=0.05):
            eventually(lambda: samples(fake))
            cancel(job)
            eventually(no_attempt_left)
        [run] = fake.log.runs()
        assert not run.interrupted
        assert run.ended_at - run.started_at >= 0.5
    assert Job.objects.get(pk=job.pk).status == Status.CANCELLED
    assert not Image.objects.exists()


def test_a_server_without_task_ids_is_never_interrupted() -> None:
    with FakeForge(seconds=0.6, nowebui=True) as fake:
        server = connected(fake)
        [job] = queue()
        with lane(server, linger=0.05):
            eventually(lambda: samples(fake))
            cancel(job)
            eventually(no_attempt_left)
        assert not fake.log.runs()[0].interrupted


def test_a_cancelled_one_that_was_handed_over_is_stopped_when_its_turn_comes() -> None:
    with FakeForge(seconds=1) as fake:
        server = connected(fake)
        running, handed_over = queue(2)
        with lane(server, linger=0.05, prefetch_lead=60):
            eventually(lambda: len(fake.log.runs()) == 2)
            fake.engine.seconds = 5
            cancel(handed_over)
            assert until_final([running])[0].status == Status.COMPLETED
            eventually(no_attempt_left, 4)
        first, second = fake.log.runs()
    assert not first.interrupted, "the good one in front of it"
    assert second.interrupted
    assert not Image.objects.filter(job=handed_over).exists()


def test_nothing_is_handed_over_behind_a_cancelled_picture() -> None:
    with FakeForge(seconds=0.6) as fake:
        server = connected(fake, interrupt=Interrupt.NEVER)
        [cancelled] = queue()
        with lane(server, linger=0.05, prefetch_lead=60):
            eventually(lambda: samples(fake))
            with transaction.atomic():
                transitions.cancel(cancelled.pk)
                [following] = queue()
                transitions.announce_waiting(following)
            until_final([following])
        first, second = fake.log.runs()
    assert second.arrived_at >= first.ended_at


def test_a_cancel_at_the_very_moment_of_the_hand_over_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lane has looked, and then it comes: with company the picture could not be stopped."""
    original = Claimer.start

    def start(self, candidate, address, behind):
        if behind is not None and not behind.closed:
            cancel(behind.job)
        return original(self, candidate, address, behind)

    monkeypatch.setattr(Claimer, "start", start)
    with FakeForge(seconds=1) as fake:
        server = connected(fake)
        cancelled, following = queue(2)
        with lane(server, linger=0.05, prefetch_lead=60):
            until_final([following])
        first, second = fake.log.runs()
    assert first.interrupted
    assert second.arrived_at >= first.ended_at
    assert not Image.objects.filter(job=cancelled).exists()


def test_a_picture_that_comes_after_its_cancel_is_not_stored() -> None:
    """Also when the lane has not noticed the cancel: the store is conditional."""
    with FakeForge(seconds=0.5) as fake:
        server = connected(fake)
        [job] = queue()
        with lane(server, linger=0.05) as running:
            eventually(lambda: samples(fake))
            running.lane._seen_seq = 10**9  # it will believe that nothing has changed
            Server.objects.update(wake_seq=10**9)
            with transaction.atomic():
                won = Job.objects.filter(pk=job.pk).update(status=Status.CANCELLED)
                assert won
                [attempt] = Attempt.objects.open()
                transitions.end_attempt(attempt.token, outcome=Outcome.CANCELLED, cleared=False)
            eventually(no_attempt_left)
    assert not Image.objects.exists()
    assert Job.objects.get(pk=job.pk).status == Status.CANCELLED


def test_a_job_that_waits_is_cancelled_and_never_sent() -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        cancelled, following = queue(2)
        cancel(cancelled)
        with lane(server, linger=0.05):
            until_final([following])
        assert len(fake.log.runs()) == 1
