"""The drawing of what a key was used for."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from django.utils.safestring import SafeString

from apikeys.chart import key_chart, key_days
from apikeys.models import ApiKey, KeyDay
from apikeys.ports import ports
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> ApiKey:
    made = factories.key()[0]
    today = timezone.now().date()
    for ago, requests, errors in ((0, 1200, 30), (3, 600, 0), (29, 1, 1), (30, 999, 999)):
        KeyDay.objects.create(
            key=made, day=today - timedelta(days=ago), requests=requests, errors=errors
        )
    monkeypatch.setattr(ports, "jobs_by_day", lambda *_: {today: 7, today - timedelta(days=10): 2})
    return made


def bars(drawing: str) -> list[tuple[bool, float, float, float]]:
    found = re.findall(
        r'<rect class="usage-bar( is-error)?" x="(\d+)" y="([\d.]+)" width="8" height="([\d.]+)">',
        drawing,
    )
    return [(bool(error), float(x), float(y), float(height)) for error, x, y, height in found]


def test_each_day_is_a_bar_with_its_errors_below(key):
    drawing = key_chart(key)
    assert isinstance(drawing, SafeString)
    requests, jobs = drawing.split("</svg>")[:2]
    assert bars(requests) == [
        (True, 0, 97, 3),  # one of 1,200 can be seen all the same
        (False, 260, 50, 50),
        (False, 290, 0, 97),
        (True, 290, 97, 3),
    ]
    assert bars(jobs) == [(False, 190, 71.4, 28.6), (False, 290, 0, 100)]


def test_it_tells_the_same_in_words_and_as_a_table(key):
    text = " ".join(re.sub(r"<[^>]+>", " ", key_chart(key)).split())
    assert "Requests 1,801 31 errors up to 1,200 a day" in text
    assert "Jobs 9 up to 7 a day" in text
    assert "1,200 30 7" in text
    assert text.count(" UTC") == 0 and "Day (UTC)" in text


def test_it_needs_no_script_and_no_inline_style(key):
    drawing = key_chart(key)
    assert "style" not in drawing and "<script" not in drawing and " on" not in drawing.lower()
    assert 'role="img"' in drawing
    for label in re.findall(r'aria-labelledby="([^"]+)"', drawing):
        assert f'<title id="{label}">' in drawing


def test_a_key_that_did_nothing_says_so(monkeypatch):
    monkeypatch.setattr(ports, "jobs_by_day", lambda *_: {})
    drawing = key_chart(factories.key()[0], days=7)
    assert "was not used in the past 7 days" in drawing
    assert "<svg" not in drawing


def test_days_before_the_first_are_left_out_in_one_query(key, django_assert_num_queries):
    with django_assert_num_queries(1):
        days = key_days(key)
    assert len(days) == 30
    assert (days[0].requests, days[-1].requests, days[-1].jobs) == (1, 1200, 7)


def test_the_jobs_are_those_that_the_key_made():
    made = factories.key()[0]
    factories.job(api_key=made)
    factories.job()
    assert key_days(made)[-1].jobs == 1
