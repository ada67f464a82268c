"""The GPU is never idle between two pictures, and at most one waits behind it (rule 20)."""

import itertools

import pytest

from dispatch.fakes.forge import FakeForge
from dispatch.lanes.run import Run
from jobs.choices import Status
from jobs.models import Attempt
from tests.dispatch.lane_harness import (
    connected,
    eventually,
    lane,
    most_at_once,
    queue,
    until_final,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_next_job_is_there_before_the_running_one_ends() -> None:
    with FakeForge(seconds=1) as fake:
        server = connected(fake)
        jobs = queue(4)
        with lane(server, linger=0.05):
            until_final(jobs)
        runs = fake.log.runs()
    waited = [later.arrived_at < run.ended_at for run, later in itertools.pairwise(runs)]
    assert all(waited), "each was there before the one before ended"
    assert most_at_once(runs) == 2


def test_no_third_one_is_sent_however_short_the_pictures_are() -> None:
    with FakeForge(seconds=0.15) as fake:
        server = connected(fake)
        jobs = queue(8)
        with lane(server, linger=0.05, prefetch_lead=60):
            assert [job.status for job in until_final(jobs)] == [Status.COMPLETED] * 8
        assert most_at_once(fake.log.runs()) <= 2


def test_nothing_is_handed_over_before_the_running_one_shows_a_step() -> None:
    """Its model may fail to load, and the one behind it would fail with it (rule 19)."""
    with FakeForge(seconds=0.4, load_seconds=1) as fake:
        server = connected(fake)
        jobs = queue(2)
        with lane(server, linger=0.05, prefetch_lead=60):
            eventually(lambda: len(fake.log.runs()) == 2)
            assert fake.engine.state.sampling_step >= 1
            until_final(jobs)
        first, second = fake.log.runs()
    assert second.arrived_at - first.started_at >= 1


def test_one_that_ends_far_in_the_future_gets_no_company() -> None:
    with FakeForge(seconds=2) as fake:
        server = connected(fake)
        jobs = queue(2, params={"steps": 20})
        with lane(server, linger=0.05, prefetch_lead=0.3):
            eventually(lambda: fake.engine.state.sampling_step >= 8)
            assert len(fake.log.runs()) == 1
            assert Attempt.objects.count() == 1, "the other one can still be moved and cancelled"
            fake.engine.seconds = 0.2
            until_final(jobs)


@pytest.mark.parametrize("lane_class", ["interactive", "background"])
def test_on_an_unknown_end_no_background_job_is_handed_over(lane_class, monkeypatch):
    """On the server it could not be taken back for an interactive job that comes before."""
    monkeypatch.setattr(Run, "remaining", lambda self: None)
    with FakeForge(seconds=1) as fake:
        server = connected(fake)
        jobs = queue(3, lane_class=lane_class)
        with lane(server, linger=0.05, blind_lead=0.0):
            until_final(jobs)
        runs = fake.log.runs()
    waited = [later.arrived_at < run.ended_at for run, later in itertools.pairwise(runs)]
    assert waited == [lane_class == "interactive"] * 2


def test_near_a_known_end_a_background_job_is_handed_over():
    with FakeForge(seconds=1) as fake:
        server = connected(fake)
        jobs = queue(3, lane_class="background")
        with lane(server, linger=0.05):
            until_final(jobs)
        runs = fake.log.runs()
    assert all(later.arrived_at < run.ended_at for run, later in itertools.pairwise(runs))
