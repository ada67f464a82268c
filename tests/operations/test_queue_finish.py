"""`estimated_finish` is said only when it can be said honestly."""

from datetime import timedelta

import pytest
from django.utils import timezone

from dispatch.models import Inventory, Timing
from jobs.choices import Status
from jobs.models import JobProgress, QueueSettings
from tests import factories

pytestmark = pytest.mark.django_db
# 512 × 512, 4 steps: 1.05 units of work
UNITS = 512 * 512 / 1e6 * 4


@pytest.fixture
def server():
    """A server that has run checkpoint x, which is loaded, at 2 s a unit."""
    row = factories.server(loaded_checkpoint="x")
    models = [{"name": name, "hashes": []} for name in ("x", "y")]
    Inventory.objects.create(server=row, data={"checkpoints": models}, updated_at=timezone.now())
    Timing.objects.create(server=row, checkpoint="x", runs=3, unit_seconds=2)
    return row


def running(eta, **fields):
    job = factories.job(Status.PROCESSING, server_alias="a", checkpoint="x", **fields)
    attempt = factories.attempt(job)
    if eta is not None:
        JobProgress.objects.create(
            job=job,
            attempt=attempt.token,
            progress=0.5,
            eta_seconds=eta,
            updated_at=timezone.now(),
        )


def seconds(boss):
    text = boss.send("GET", "/api/v2/queue").json()["estimated_finish"]
    if text is None:
        return None
    from django.utils.dateparse import parse_datetime

    return (parse_datetime(text) - timezone.now()).total_seconds()


def test_of_an_empty_queue_there_is_none(boss, server):
    assert seconds(boss) is None


def test_what_runs_ends_when_it_says(boss, server):
    running(30)
    assert seconds(boss) == pytest.approx(30, abs=2)


def test_what_waits_comes_after_it(boss, server):
    running(30)
    for _ in range(10):
        factories.job(checkpoint="x")
    assert seconds(boss) == pytest.approx(30 + 10 * 2 * UNITS, abs=2)


def test_a_job_without_a_checkpoint_runs_with_what_is_loaded(boss, server):
    factories.job()
    assert seconds(boss) == pytest.approx(2 * UNITS, abs=2)


def test_loads_count(boss, server):
    Timing.objects.create(
        server=server, checkpoint="y", runs=1, unit_seconds=2, loads=1, load_seconds=50
    )
    for name in ("x", "y", "x"):
        factories.job(checkpoint=name)
    assert seconds(boss) == pytest.approx(2 * 50 + 3 * 2 * UNITS, abs=2)


def test_two_servers_share_the_work(boss, server):
    second = factories.server("b", url="http://127.0.0.1:8", loaded_checkpoint="x")
    Inventory.objects.create(
        server=second,
        data={"checkpoints": [{"name": "x", "hashes": []}]},
        updated_at=timezone.now(),
    )
    Timing.objects.create(server=second, checkpoint="x", runs=3, unit_seconds=2)
    for _ in range(10):
        factories.job(checkpoint="x")
    assert seconds(boss) == pytest.approx(5 * 2 * UNITS, abs=2)


@pytest.mark.parametrize(
    "doubt",
    [
        lambda: factories.job(checkpoint="y"),
        lambda: factories.job(checkpoint="nobody has it"),
        lambda: factories.job(checkpoint="x", target_server_alias="gone"),
        lambda: factories.job(checkpoint="x", not_before=timezone.now() + timedelta(hours=1)),
        lambda: running(None),
        lambda: QueueSettings.objects.create(paused=True),
        lambda: QueueSettings.objects.create(paused_app_types=["forge"]),
    ],
    ids=["never run", "missing", "removed", "put off", "no eta", "paused", "app type paused"],
)
def test_where_something_is_not_known_nothing_is_said(boss, server, doubt):
    factories.job(checkpoint="x")
    assert seconds(boss) is not None
    doubt()
    assert seconds(boss) is None
