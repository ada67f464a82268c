"""The events of a run's progress: now and then for programs, often while somebody looks."""

from datetime import timedelta

import pytest
from django.utils import timezone

from dispatch.dispatchers.base import Progress
from dispatch.lanes import reporting
from dispatch.lanes.reporting import Reporter
from dispatch.lanes.run import Run
from dispatch.lease import Lease, take
from jobs.models import JobProgress, LiveEvent
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lease() -> Lease:
    held = take(factories.server("a").pk)
    assert held is not None
    return held


@pytest.fixture
def reporter(lease: Lease) -> Reporter:
    return Reporter(lease)


@pytest.fixture
def run(lease: Lease) -> Run:
    return Run(factories.attempt(lane=lease.token, submitted_at=timezone.now()))


def at(run: Run, fraction: float) -> Run:
    run.moved(Progress(active=True, fraction=fraction, sampling=True, preview=factories.png()))
    return run


def told() -> list[tuple[str, float | None]]:
    rows = LiveEvent.objects.order_by("pk").values_list("kind", "payload")
    return [(kind, payload.get("progress")) for kind, payload in rows]


def test_progress_is_told_with_each_row_while_nobody_looks(reporter, run, monkeypatch):
    reporter.report(at(run, 0.25), None)
    reporter.report(at(run, 0.5), None)
    assert told() == [("job.progress", 0.25)], "a second has not passed"
    monkeypatch.setattr(reporting, "ROW_SECONDS", 0)
    reporter.report(at(run, 0.75), None)
    assert told() == [("job.progress", 0.25), ("job.progress", 0.75)]
    assert JobProgress.objects.get().progress == 0.75


def test_nothing_is_told_again_of_a_run_that_does_not_move(reporter, run, monkeypatch):
    monkeypatch.setattr(reporting, "ROW_SECONDS", 0)
    for _ in range(3):
        reporter.report(at(run, 0.25), None)
    assert told() == [("job.progress", 0.25)]


def test_who_looks_gets_progress_between_two_rows_and_previews(reporter, run, monkeypatch):
    soon = timezone.now() + timedelta(minutes=1)
    monkeypatch.setattr(reporting, "WATCHED_SECONDS", 0)
    reporter.report(at(run, 0.25), soon)
    reporter.report(at(run, 0.5), soon)
    kinds = [kind for kind, _ in told()]
    assert kinds == ["job.progress", "job.preview", "job.progress", "job.preview"]
