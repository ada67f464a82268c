"""When the queue works, and when a server does, is seen and changed on the pages."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from dispatch.models import Server
from jobs.models import Event, QueueSettings
from jobs.pages import hours as page_of_hours
from jobs.ports import QueueForecast, ports
from jobs.services import planning
from tests import factories
from tests.pages.conftest import HTMX

URL = "/queue/hours"
# A Saturday noon in winter, so that a window does not end while a test runs.
NOON = datetime(2026, 1, 10, 12, 0, tzinfo=UTC)
BERLIN = {"hours": "23:00-07:00", "time_zone": "Europe/Berlin"}
EMPTY = {"hours": "", "time_zone": "", "run_until": "", "was_run_until": ""}


@pytest.fixture(autouse=True)
def noon(monkeypatch):
    """Stop the clock, and start no task."""
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOON)
    monkeypatch.setattr("django_q.tasks.async_task", lambda *_, **__: None)


@pytest.fixture
def fits(monkeypatch):
    """Let a forecast say how many jobs should start before 07:00 in Berlin."""

    def say(count):
        until = NOON.replace(hour=6) + timedelta(days=1)
        monkeypatch.setattr(page_of_hours, "fitting", lambda: (until, count, count >= 200))

    return say


def settings_row():
    return QueueSettings.current()


def test_staff_set_hours_and_are_told_when_it_opens(staff_browser):
    answer = staff_browser.post(URL, {**EMPTY, **BERLIN}, follow=True)
    assert answer.redirect_chain == [("/", 303)]
    assert "it opens at 23:00 (Europe/Berlin)" in answer.text
    row = settings_row()
    assert (row.hours, row.time_zone, row.run_until) == ("23:00-07:00", "Europe/Berlin", None)
    assert Event.objects.filter(kind="queue.paused").count() == 1, "open pages read it again"


def test_the_queue_page_says_when_it_opens_and_when_it_closes(browser, staff_browser):
    assert "queue-hours" not in browser.get("/").text
    planning.change_hours(BERLIN)
    page = browser.get("/").text
    assert "Outside its hours: the queue opens at" in page
    assert '<time datetime="2026-01-10T22:00:00+00:00" data-when>23:00 (Europe/Berlin)' not in page
    assert '<time datetime="2026-01-10T22:00:00+00:00" data-when>22:00 (UTC)</time>' in page
    assert URL not in page, "only staff change it"
    assert f'href="{URL}"' in staff_browser.get("/").text
    planning.change_hours({"hours": "08:00-18:00"})
    assert "Open until" in browser.get("/").text


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "No job should"), (1, "About 1 job should"), (12, "About 12 jobs"), (200, "At least 200")],
)
def test_it_says_how_many_jobs_should_start_in_time(browser, member, fits, count, words):
    fits(count)
    factories.job(owner=member)
    planning.change_hours(BERLIN)
    page = browser.get("/").text
    assert words in page
    assert '<time datetime="2026-01-11T06:00:00+00:00" data-when>' in page


def test_of_an_empty_queue_it_forecasts_nothing(browser, fits):
    fits(0)
    planning.change_hours(BERLIN)
    assert "should start before" not in browser.get("/").text


def test_until_a_time_of_day_is_set_by_the_menu(staff_browser):
    staff_browser.post(URL, {**EMPTY, "time_zone": "Europe/Berlin"})
    answer = staff_browser.post(URL, {"only": "run_until", "run_until": "06:30"}, headers=HTMX)
    assert answer.status_code == 204
    assert "until 06:30 tomorrow (Europe/Berlin)" in answer.headers["HX-Trigger"]
    assert settings_row().run_until == datetime(2026, 1, 11, 5, 30, tzinfo=UTC)
    assert settings_row().time_zone == "Europe/Berlin"


def test_an_end_that_was_not_touched_stays_on_its_day(staff_browser, monkeypatch):
    staff_browser.post(URL, {"only": "run_until", "run_until": "06:30"})
    end = settings_row().run_until
    page = staff_browser.get(URL).text
    assert 'name="was_run_until" value="06:30"' in page
    typed = {**EMPTY, **BERLIN, "run_until": "06:30", "was_run_until": "06:30"}
    monkeypatch.setattr("django.utils.timezone.now", lambda: end + timedelta(seconds=1))
    staff_browser.post(URL, typed)
    assert settings_row().run_until == end, "read anew it would mean tomorrow"
    staff_browser.post(URL, {**typed, "run_until": ""})
    assert settings_row().run_until is None


def test_an_end_that_has_come_is_told_with_a_way_to_go_on(staff_browser, browser, monkeypatch):
    staff_browser.post(URL, {"only": "run_until", "run_until": "13:00"})
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOON + timedelta(hours=2))
    assert "and waits to be resumed" in browser.get("/").text
    assert 'aria-label="Resume the queue"' in staff_browser.get("/").text
    staff_browser.post("/queue/switch", {"to": "resume"})
    assert settings_row().run_until is None
    assert "waits to be resumed" not in browser.get("/").text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hours": "25:00-07:00"}, "has no time 25:00"),
        ({"hours": "at night"}, "can&#x27;t be understood"),
        ({"time_zone": "Mars/Base"}, "is not known"),
        ({"run_until": "late"}, "is no moment"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_changes_nothing(staff_browser, change, words):
    answer = staff_browser.post(URL, {**EMPTY, **BERLIN, **change})
    assert answer.status_code == 422
    assert words in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert next(iter(change.values())) in answer.text or "time_zone" in change, "as typed"
    assert settings_row().hours == ""


@pytest.mark.parametrize("method", ["get", "post"])
def test_members_do_not_change_it(browser, method):
    assert getattr(browser, method)(URL, BERLIN, headers=HTMX).status_code == 403
    assert settings_row().hours == ""


def test_the_zone_of_the_device_is_offered_once(staff_browser):
    assert 'data-preset-zone="UTC"' in staff_browser.get(URL).text
    staff_browser.post(URL, {**EMPTY, "hours": "23:00-07:00"})
    assert "data-preset-zone" not in staff_browser.get(URL).text


# --- A server's ---------------------------------------------------------------------------------


def test_a_server_has_hours_on_its_own_page(staff_browser):
    factories.server("gpu")
    shown = staff_browser.get("/servers/gpu/edit").text
    assert 'name="hours"' in shown and 'name="time_zone"' in shown and 'name="run_until"' in shown
    form = {"url": "http://127.0.0.1:9", "app_type": "forge", "interrupt": "careful", **EMPTY}
    answer = staff_browser.post("/servers/gpu/edit", {**form, **BERLIN, "run_until": "06:30"})
    assert answer.status_code == 303, answer.text
    row = Server.objects.get()
    assert (row.hours, row.time_zone) == ("23:00-07:00", "Europe/Berlin")
    assert row.run_until == datetime(2026, 1, 11, 5, 30, tzinfo=UTC)
    Server.objects.update(health="healthy")
    page = staff_browser.get("/servers").text
    assert "Outside its hours" in page
    assert "it opens at 23:00 (Europe/Berlin)." in page
    answer = staff_browser.post("/servers/gpu/edit", {**form, "hours": "late", "url": row.url})
    assert answer.status_code == 422
    assert 'value="late"' in answer.text


def test_a_server_whose_end_has_come_is_resumed_on_its_card(staff_browser):
    factories.server("gpu", run_until=NOON - timedelta(hours=1))
    assert 'name="to" value="resume"' in staff_browser.get("/servers").text
    staff_browser.post("/servers/gpu/switch", {"to": "resume"})
    assert Server.objects.get().run_until is None
    assert 'name="to" value="pause"' in staff_browser.get("/servers").text


# --- Cancelling all that waits ------------------------------------------------------------------


def test_a_member_cancels_all_that_is_theirs_and_can_take_it_back(browser, member):
    mine = [factories.job(owner=member) for _ in range(3)]
    running = factories.job("processing", owner=member)
    others = factories.job(owner=factories.user())
    assert "Cancel all 3 waiting jobs?" in browser.get("/").text
    answer = browser.post("/queue/cancel-waiting", headers=HTMX)
    assert "3 jobs cancelled." in answer.headers["HX-Trigger"]
    assert '"undo"' in answer.headers["HX-Trigger"]
    states = {}
    for job in (*mine, running, others):
        job.refresh_from_db()
        states[job.status] = states.get(job.status, 0) + 1
    assert states == {"cancelled": 3, "processing": 1, "pending": 1}
    answer = browser.post("/queue/cancel-waiting", headers=HTMX)
    assert "Nothing waits any more." in answer.headers["HX-Trigger"]


def test_staff_are_asked_whether_they_mean_everybody(staff_browser, browser, member):
    factories.job(owner=member)
    assert "Cancel the waiting job, whoever made it?" in staff_browser.get("/").text
    assert "whoever made" not in browser.get("/").text


def test_without_anything_waiting_there_is_nothing_to_cancel(browser, staff_browser):
    assert "Cancel all" not in browser.get("/").text
    page = staff_browser.get("/").text
    assert "Cancel all" not in page
    assert "When the queue works" in page and "Pause the queue" in page
    assert timezone.now() == NOON


def test_the_forecast_is_that_of_the_servers(monkeypatch):
    until = NOON + timedelta(hours=1)

    def told(**values):
        forecast = QueueForecast(at=NOON, **values)
        monkeypatch.setattr(ports.servers, "queue_forecast", lambda: forecast)
        return page_of_hours.fitting()

    assert told(closes=until, fits=7) == (until, 7, False)
    assert told(closes=until, fits=200, fits_at_least=True) == (until, 200, True)
    assert told() == (None, None, False)
