"""`estimated_finish` is of what can be told; what can't is named."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from dispatch import forecast
from dispatch.models import Inventory, Timing
from jobs.choices import Outcome, Status
from jobs.models import JobDependency, JobProgress, QueueSettings
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


def running(eta, *, name="x", alias="a", **fields):
    job = factories.job(Status.PROCESSING, server_alias=alias, checkpoint=name)
    attempt = factories.attempt(job, **fields)
    if eta is not None:
        JobProgress.objects.create(
            job=job,
            attempt=attempt.token,
            progress=0.5,
            eta_seconds=eta,
            updated_at=timezone.now(),
        )
    return job


def seconds(boss):
    text = boss.send("GET", "/api/v2/queue").json()["estimated_finish"]
    return None if text is None else (parse_datetime(text) - timezone.now()).total_seconds()


def not_counted(boss):
    return boss.send("GET", "/api/v2/queue").json()["not_counted"]


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


def test_loads_count_as_the_scheduler_groups_them(boss, server):
    Timing.objects.create(
        server=server, checkpoint="y", runs=1, unit_seconds=2, loads=1, load_seconds=50
    )
    for name in ("x", "y", "x"):
        factories.job(checkpoint=name)
    assert seconds(boss) == pytest.approx(50 + 3 * 2 * UNITS, abs=2)


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


def test_a_job_that_runs_is_what_the_next_ones_wait_for_and_its_model_is_loaded_then(boss, server):
    running(30, name="y")
    Timing.objects.create(server=server, checkpoint="y", runs=1, unit_seconds=2)
    factories.job(checkpoint="y")
    assert seconds(boss) == pytest.approx(30 + 2 * UNITS, abs=2)


def test_a_run_that_does_not_tell_takes_as_long_as_it_was_expected_to(boss, server):
    running(None, expected_seconds=40, began_at=timezone.now() - timedelta(seconds=10))
    assert seconds(boss) == pytest.approx(30, abs=2)


def test_a_run_that_was_handed_over_comes_after_the_one_before_it(boss, server):
    running(30)
    running(None, expected_seconds=40, began_at=None)
    assert seconds(boss) == pytest.approx(70, abs=2)


def test_what_was_put_off_and_what_waits_for_others_counts(boss, server):
    parent = factories.job(checkpoint="x", not_before=timezone.now() + timedelta(hours=1))
    child = factories.job(checkpoint="x")
    JobDependency.objects.create(job=child, parent=parent)
    assert seconds(boss) == pytest.approx(3600 + 2 * 2 * UNITS, abs=3)
    assert not_counted(boss) == 0


def test_a_job_of_a_chain_starts_when_the_running_one_that_it_needs_ends(boss, server):
    parent = running(30)
    child = factories.job(checkpoint="x")
    JobDependency.objects.create(job=child, parent=parent)
    assert seconds(boss) == pytest.approx(30 + 2 * UNITS, abs=2)


def test_jobs_behind_those_that_are_played_take_as_long_as_these(boss, server, monkeypatch):
    monkeypatch.setattr(forecast, "SHOWN", 5)
    for _ in range(20):
        factories.job(checkpoint="x")
    assert seconds(boss) == pytest.approx(20 * 2 * UNITS, abs=2)
    assert not_counted(boss) == 0


def test_while_no_server_has_ever_run_anything_each_job_is_named(boss, monkeypatch):
    monkeypatch.setattr(forecast, "SHOWN", 2)
    factories.server()
    running(None)
    for _ in range(3):
        factories.job()
    assert (seconds(boss), not_counted(boss)) == (None, 4)


@pytest.mark.parametrize(
    "doubt",
    [
        lambda: factories.job(checkpoint="nobody has it"),
        lambda: factories.job(checkpoint="x", target_server_alias="gone"),
        lambda: factories.job(checkpoint="x", held=True),
        lambda: factories.job(checkpoint="x", deadline=timezone.now()),
        lambda: factories.job(app_type="other"),
        lambda: running(None, alias="elsewhere"),
        lambda: needs(factories.job(checkpoint="x", held=True)),
    ],
    ids=["missing", "removed", "held", "expired", "no server", "no eta", "child of a held one"],
)
def test_what_nobody_can_tell_of_is_named_and_the_rest_is_told(boss, server, doubt):
    factories.job(checkpoint="x")
    before = seconds(boss)
    assert not_counted(boss) == 0
    more = doubt()
    forecast.forget()
    assert seconds(boss) == pytest.approx(before, abs=2)
    assert not_counted(boss) == (2 if more == "two" else 1)


def needs(parent):
    JobDependency.objects.create(job=factories.job(checkpoint="x"), parent=parent)
    return "two"


@pytest.mark.parametrize(
    "off", [{"paused": True}, {"paused_app_types": ["forge"]}], ids=["queue", "app type"]
)
def test_of_what_is_paused_nobody_can_tell(boss, server, off):
    factories.job(checkpoint="x")
    QueueSettings.objects.create(**off)
    assert seconds(boss) is None


def test_the_page_tells_the_end_how_sure_it_is_and_what_is_not_counted(staff_browser, server):
    factories.job(checkpoint="x", held=True)
    for _ in range(200):
        factories.job(checkpoint="x")
    assert "done in 7 min · 1 not counted" in staff_browser.get("/").content.decode()
    for expected in (8, 9, 10, 12, 14):
        ran(expected, took=10)
    forecast.forget()
    assert "done in 7 min ± 20 % · 1 not counted" in staff_browser.get("/").content.decode()


def ran(expected, took):
    job = factories.job(Status.COMPLETED, server_alias="a")
    end = timezone.now()
    factories.attempt(
        job,
        expected_seconds=expected,
        began_at=end - timedelta(seconds=took),
        ended_at=end,
        outcome=Outcome.COMPLETED,
    )
