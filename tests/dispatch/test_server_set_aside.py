"""Three failures in a row set a server aside; a probe brings it back, later each time."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from django_q.models import OrmQ

from dispatch import health, standing
from dispatch.fakes.forge import FakeForge
from dispatch.lanes import outcomes
from dispatch.models import Health, Server
from dispatch.sweep import Sweep
from jobs.choices import Status
from jobs.models import Job
from tests import factories
from tests.dispatch.lane_harness import connected, lane, queue, until_final

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "_retry_at", lambda made: timezone.now() + timedelta(seconds=0.1))


def test_three_failures_in_a_row_set_it_aside_and_the_lane_leaves() -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        fake.faults.add("http_500", times=3)
        jobs = queue(3)
        with lane(server, linger=30):
            pass  # a lane that can do nothing does not linger
        assert len(fake.log.runs()) == 3
        row = Server.objects.get()
        assert (row.health, row.failures_in_row) == (Health.ASIDE, 3)
        assert row.lane_token is None
        assert 23 < (row.probe_at - timezone.now()).total_seconds() <= 30
        assert all(j.status == Status.PENDING for j in Job.objects.all())

        health.check(server)
        with lane(server, linger=0.05):
            done = until_final(jobs)
    assert [job.status for job in done] == [Status.COMPLETED] * 3
    assert Server.objects.get().failures_in_row == 0, "a picture clears its name"


def test_a_good_picture_in_between_begins_to_count_anew() -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        fake.faults.add("http_500", times=2)
        fake.faults.add("http_500", times=2, skip=1)
        with lane(server, linger=0.5):
            until_final(queue(2))
    assert Server.objects.get().health == Health.HEALTHY


def test_a_picture_that_is_read_after_the_error_of_the_next_one_clears_its_name() -> None:
    """Two answers come within a millisecond, and the larger one takes longer to read."""
    row = factories.server(failures_in_row=2)
    with transaction.atomic():
        assert standing.note_failure(row.pk)
        standing.note_success(row.pk, "")
    row.refresh_from_db()
    assert (row.health, row.failures_in_row) == (Health.HEALTHY, 0)


def test_one_more_failure_after_a_probe_sets_it_aside_for_longer() -> None:
    row = factories.server(failures_in_row=3, health=Health.HEALTHY)
    with transaction.atomic():
        assert standing.note_failure(row.pk)
    row.refresh_from_db()
    assert row.health == Health.ASIDE
    assert 47 < (row.probe_at - timezone.now()).total_seconds() <= 60


def test_servers_that_went_down_together_are_not_all_asked_at_once() -> None:
    moments = set()
    for number in range(8):
        row = factories.server(f"s{number}", failures_in_row=3)
        with transaction.atomic():
            standing.note_failure(row.pk)
        row.refresh_from_db()
        moments.add(round((row.probe_at - timezone.now()).total_seconds(), 1))
    assert len(moments) > 4
    assert max(moments) <= 60


def test_the_waits_double_and_end_at_ten_minutes() -> None:
    delays = [standing.probe_delay(Health.ASIDE, failures, 0) for failures in (3, 4, 5, 8, 99)]
    assert delays == [30, 60, 120, 600, 600]


def test_it_is_probed_when_its_time_has_come_and_not_before() -> None:
    row = factories.server(
        health=Health.ASIDE, failures_in_row=3, probe_at=timezone.now() + timedelta(seconds=9)
    )
    Sweep().run()
    assert not OrmQ.objects.exists()
    Server.objects.update(probe_at=timezone.now() - timedelta(seconds=1))
    sweep = Sweep()
    sweep.run()
    sweep.run()
    [task] = OrmQ.objects.all()
    assert task.key == "background"
    assert task.task["func"] == "dispatch.tasks.probe_server"
    assert task.task["args"] == (row.pk,)
