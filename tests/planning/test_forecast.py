"""Nobody waits for a forecast: it is made beside the requests, once at a time, and kept."""

import threading
import time
from datetime import timedelta

import pytest
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from dispatch import accuracy, forecast
from dispatch.models import ExpectedStart, Inventory, Timing
from jobs.choices import Outcome, Status
from jobs.models import JobProgress, QueueSettings
from tests import factories
from tests.processes.installation import eventually

pytestmark = pytest.mark.django_db


def server(alias="a", **fields):
    row = factories.server(alias, loaded_checkpoint="x", **fields)
    models = [{"name": "x", "hashes": []}]
    Inventory.objects.create(server=row, data={"checkpoints": models}, updated_at=timezone.now())
    Timing.objects.create(server=row, checkpoint="x", runs=3, unit_seconds=10)
    return row


def queue(count):
    return [factories.job(checkpoint="x") for _ in range(count)]


@pytest.mark.django_db(transaction=True)
def test_a_question_is_answered_at_once_and_played_beside_it(settings, monkeypatch):
    settings.FORECAST_THREAD = True
    server()
    jobs = queue(3)
    go, real, played = threading.Event(), forecast.play, []

    def held(*args, **kwargs):
        played.append(threading.current_thread().name)
        assert go.wait(20)
        return real(*args, **kwargs)

    monkeypatch.setattr(forecast, "play", held)
    assert forecast.starts() == {}
    eventually(lambda: played)
    assert forecast.queue().at is None, "a second question does not wait either"
    go.set()
    eventually(lambda: len(forecast.starts()) == len(jobs))
    eventually(lambda: not forecast._playing.locked())
    assert played == ["forecast"], "and nobody plays it a second time"


def test_what_is_too_old_is_not_told(monkeypatch):
    server()
    queue(2)
    assert len(forecast.starts()) == 2
    later = time.monotonic() + 3600
    monkeypatch.setattr(forecast.time, "monotonic", lambda: later)
    monkeypatch.setattr(forecast, "_play_and_release", lambda: None)
    assert forecast.starts() == {}
    forecast._playing.release()


def test_a_failure_costs_nobody_an_answer_and_is_tried_again_later(monkeypatch):
    server()
    queue(2)
    asked = []

    def broken(*_args):
        asked.append(1)
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(forecast.projection, "machines", broken)
    for _ in range(3):
        assert forecast.queue().at is None
    assert len(asked) == 1


def test_playing_stops_when_it_takes_too_long_and_the_rest_is_taken_to_be_like_it(monkeypatch):
    server()
    queue(10)
    real = forecast.play

    def slow(machines, works, *, stop):
        steps = iter([False] * 4)
        return real(machines, works, stop=lambda: next(steps, True))

    monkeypatch.setattr(forecast, "play", slow)
    found = forecast.queue()
    assert len(forecast.starts()) == 4
    seconds = (found.finish - found.at).total_seconds()
    assert seconds == pytest.approx(10 * 10 * 512 * 512 * 4 / 1e6, rel=0.01)


# --- How many fit -------------------------------------------------------------------------


def closing_in(seconds):
    row = server()
    row.run_until = timezone.now() + timedelta(seconds=seconds)
    row.save()


def test_all_that_fit_before_it_closes_are_counted_also_beyond_two_hundred(boss):
    closing_in(3600)
    queue(300)
    fits = boss.send("GET", "/api/v2/queue").json()["fits"]
    assert (fits["jobs"], fits["at_least"]) == (300, False)


def test_where_not_all_were_looked_at_it_is_at_least_so_many(boss, monkeypatch):
    monkeypatch.setattr(forecast, "SHOWN", 5)
    closing_in(3600)
    queue(8)
    fits = boss.send("GET", "/api/v2/queue").json()["fits"]
    assert (fits["jobs"], fits["at_least"]) == (5, True)


def test_what_comes_after_the_window_waits_for_the_next_one(boss):
    now = timezone.now()
    row = server()
    row.hours = f"{now - timedelta(minutes=5):%H:%M}-{now + timedelta(minutes=2):%H:%M}"
    row.save()
    jobs = queue(30)
    fits = boss.send("GET", "/api/v2/queue").json()["fits"]["jobs"]
    assert 5 <= fits <= 13
    text = boss.send("GET", f"/api/v2/jobs/{jobs[-1].pk}/status").json()["job"]
    hours = (parse_datetime(text["estimated_start_time"]) - now).total_seconds() / 3600
    assert 23 < hours < 24.1


# --- Between two rounds -------------------------------------------------------------------


TEN = {"width": 512, "height": 512, "steps": 4, "n_iter": 10}


def in_its_second_of_ten_rounds(row, eta):
    running = factories.job(
        Status.PROCESSING,
        generation_params=TEN,
        checkpoint="x",
        server_alias=row.alias,
        lane_class="background",
        images_wanted=10,
        images_made=1,
    )
    now = timezone.now()
    attempt = factories.attempt(
        running, images=1, expected_seconds=20.0, submitted_at=now, began_at=now
    )
    JobProgress.objects.create(
        job=running, attempt=attempt.token, progress=0.1, eta_seconds=eta, updated_at=now
    )
    return running


def seconds_to(moment):
    return (moment - timezone.now()).total_seconds()


def test_an_interactive_job_is_expected_to_start_after_the_round_that_is_made():
    running = in_its_second_of_ten_rounds(server(), eta=104.0)
    urgent = factories.job(checkpoint="x")
    other = factories.job(checkpoint="x", lane_class="background")
    whole, starts = forecast.queue(), forecast.starts()
    assert seconds_to(starts[urgent.pk]) == pytest.approx(20, abs=2)
    assert seconds_to(starts[other.pk]) == pytest.approx(104 + 10.5, abs=3), "it does not alternate"
    assert running.pk not in starts
    assert seconds_to(whole.finish) == pytest.approx(104 + 2 * 10.5, abs=3)


def test_a_job_that_gave_way_is_expected_to_take_what_is_left_of_it():
    server()
    left = {"images_wanted": 10, "images_made": 9}
    factories.job(checkpoint="x", lane_class="background", generation_params=TEN, **left)
    assert seconds_to(forecast.queue().finish) == pytest.approx(10.5, abs=1)


# --- How far off it is --------------------------------------------------------------------


def ran(alias, expected, took, **fields):
    job = factories.job(fields.pop("status", Status.COMPLETED), server_alias=alias)
    end = timezone.now()
    fields.setdefault("outcome", Outcome.COMPLETED)
    began = end - timedelta(seconds=took)
    return factories.attempt(job, expected_seconds=expected, began_at=began, ended_at=end, **fields)


def test_the_error_is_the_median_over_runs_and_told_for_each_server(boss, browser):
    server("a")
    server("b", url="http://127.0.0.1:8")
    for expected in (9, 8, 12, 10, 30):
        ran("a", expected, took=10)
    ran("b", 1, took=10)
    ran("a", 1, took=10, status=Status.FAILED, outcome=Outcome.ERROR)
    shown = boss.send("GET", "/api/v2/servers").json()["servers"]
    assert [row["forecast_error"] for row in shown] == [0.2, None], "of too few nothing is said"
    assert boss.send("GET", "/api/v2/queue").json()["forecast_error"] == 0.2
    assert browser.get("/servers").content.decode().count("± 20 %") == 1


def test_only_the_newest_runs_count(boss, monkeypatch):
    monkeypatch.setattr(accuracy, "RECENT", 5)
    for _ in range(20):
        ran("a", 100, took=10)
    for _ in range(5):
        ran("a", 11, took=10)
    assert accuracy.recent_error() == pytest.approx(0.1)


def test_the_first_expected_start_of_a_job_is_kept_to_be_compared():
    server()
    running, waiting = queue(2)
    forecast.refresh()
    row = ExpectedStart.objects.get()
    assert row.job_id == waiting.pk, "one that starts at once has nobody waiting"
    assert (row.at - row.told_at).total_seconds() == pytest.approx(10.5, abs=1)
    factories.job(checkpoint="x", priority=1)
    forecast.refresh()
    assert ExpectedStart.objects.get(job=waiting).at == row.at
    running.delete()
    waiting.delete()
    assert not ExpectedStart.objects.filter(job=waiting.pk).exists()


@pytest.mark.parametrize(
    "off",
    [
        lambda row: QueueSettings.objects.create(paused=True),
        lambda row: type(row).objects.update(paused=True),
        lambda row: type(row).objects.update(health="offline"),
    ],
    ids=["paused", "server paused", "offline"],
)
def test_what_cannot_start_any_more_has_no_start_at_once(boss, staff_browser, off):
    """The forecast is of a moment ago; beside "The queue is paused" it would be nonsense."""
    row, [job] = server(), queue(1)
    assert "Starts in" in staff_browser.get("/").content.decode()
    off(row)
    assert job.pk in forecast.starts()
    assert "Starts in" not in staff_browser.get("/").content.decode()
    answer = boss.send("GET", f"/api/v2/jobs/{job.pk}/status").json()["job"]
    assert answer["estimated_start_time"] is None
