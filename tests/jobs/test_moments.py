"""Times in sentences are those of the wall where people are, and say of which wall."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from dispatch.candidates import reasons
from dispatch.sweep import Sweep
from jobs.models import QueueSettings
from jobs.moments import exact, in_words
from tests import factories

NOW = datetime(2026, 1, 10, 21, 30, tzinfo=UTC)  # 22:30 in Berlin


@pytest.fixture
def berlin(settings):
    settings.TIME_ZONE = "Europe/Berlin"


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (0, "22:30 (Europe/Berlin)"),
        (2, "00:30 tomorrow (Europe/Berlin)"),
        (-23, "23:30 yesterday (Europe/Berlin)"),
        (72, "22:30 on Tue 13 Jan (Europe/Berlin)"),
        (24 * 365, "22:30 on Sun 10 Jan 2027 (Europe/Berlin)"),
    ],
)
def test_a_moment_is_told_as_seen_from_now(berlin, hours, words):
    assert in_words(NOW + timedelta(hours=hours), NOW) == words


def test_another_zone_is_named_as_well(berlin):
    assert in_words(NOW, NOW, ZoneInfo("Asia/Tokyo")) == "06:30 (Asia/Tokyo)"


def test_what_is_kept_tells_the_date(berlin):
    assert exact(NOW) == "2026-01-10 22:30 CET"
    assert exact(NOW + timedelta(days=180), seconds=True) == "2026-07-09 23:30:00 CEST"


@pytest.mark.django_db
def test_why_a_job_waits_and_why_it_failed_are_told_by_that_clock(berlin):
    factories.server()
    now = timezone.now()
    job = factories.job(not_before=now + timedelta(hours=30))
    assert "(Europe/Berlin) at the earliest." in reasons([job])[job.pk].message
    late = factories.job(deadline=now - timedelta(hours=1))
    Sweep._expire()
    late.refresh_from_db()
    assert exact(late.deadline) in late.error_message


@pytest.mark.django_db
def test_hours_without_a_zone_are_those_of_the_installation(berlin):
    from jobs.hours import opening_of

    row = QueueSettings(hours="23:00-07:00")
    assert not opening_of(row).is_open(NOW)
    assert opening_of(row).is_open(NOW + timedelta(minutes=31)), "23:01 in Berlin"


def test_on_pages_a_moment_is_a_time_element_and_none_is_nothing(berlin, monkeypatch):
    from mobilesd.templatetags import shell

    assert (shell.exact(None), shell.when(None)) == ("", "")
    assert shell.exact(NOW) == "2026-01-10 22:30 CET"
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    assert shell.when(NOW) == (
        '<time datetime="2026-01-10T21:30:00+00:00" data-when>22:30 (Europe/Berlin)</time>'
    )
