"""What a key was used for, day by day, drawn as SVG: no script, no inline style."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString

from apikeys.models import ApiKey, KeyDay
from apikeys.ports import ports

__all__ = ["Day", "key_chart", "key_days"]

# Units of the drawing, which is stretched to the width there is. Zero is a bar of no height.
_STEP = 10
_BAR = 8
_HEIGHT = 100
_LEAST = 3


@dataclass(frozen=True)
class Day:
    """What a key did on one day (UTC); `errors` are among the requests."""

    day: date
    requests: int = 0
    errors: int = 0
    jobs: int = 0


@dataclass(frozen=True)
class _Bar:
    """One rectangle; `x` and the others in units of the drawing."""

    day: Day
    x: int
    y: float
    height: float
    is_error: bool = False


@dataclass(frozen=True)
class _Panel:
    """One drawing with its words."""

    name: str
    total: int
    errors: int
    most: int
    bars: Sequence[_Bar]


def key_days(key: ApiKey, days: int = 30) -> list[Day]:
    """Return what a key did on each of these days, today last, in two queries."""
    today = timezone.now().date()
    first = today - timedelta(days=days - 1)
    sums = {row.day: row for row in KeyDay.objects.filter(key_id=key.prefix, day__gte=first)}
    jobs = ports.jobs_by_day(key, first)
    nothing = KeyDay()
    return [
        Day(
            day=day,
            requests=sums.get(day, nothing).requests,
            errors=sums.get(day, nothing).errors,
            jobs=jobs.get(day, 0),
        )
        for day in (first + timedelta(days=number) for number in range(days))
    ]


def key_chart(key: ApiKey, days: int = 30) -> SafeString:
    """Return the drawing of requests, errors and jobs a day, with the same as a table."""
    found = key_days(key, days)
    return render_to_string(
        "apikeys/_chart_drawing.html",
        {
            "panels": [_requests(found), _jobs(found)],
            "used": [day for day in reversed(found) if day.requests or day.jobs],
            "days": days,
            "first": found[0].day,
            "last": found[-1].day,
            "width": days * _STEP,
            "height": _HEIGHT,
            "bar": _BAR,
            "id": key.prefix,
        },
    )


def _requests(days: Sequence[Day]) -> _Panel:
    most = max(day.requests for day in days)
    bars = []
    for number, day in enumerate(days):
        x = number * _STEP
        whole, wrong = _tall(day.requests, most), _tall(day.errors, most)
        bars.append(_Bar(day, x, _HEIGHT - whole, max(0.0, whole - wrong)))
        bars.append(_Bar(day, x, _HEIGHT - wrong, wrong, is_error=True))
    total, errors = sum(day.requests for day in days), sum(day.errors for day in days)
    return _Panel("Requests", total, errors, most, _drawn(bars))


def _jobs(days: Sequence[Day]) -> _Panel:
    most = max(day.jobs for day in days)
    bars = []
    for number, day in enumerate(days):
        tall = _tall(day.jobs, most)
        bars.append(_Bar(day, number * _STEP, _HEIGHT - tall, tall))
    return _Panel("Jobs", sum(day.jobs for day in days), 0, most, _drawn(bars))


def _tall(count: int, most: int) -> float:
    """Return the height of a bar; one that is there can be seen."""
    return max(_LEAST, round(count / most * _HEIGHT, 1)) if count else 0


def _drawn(bars: Sequence[_Bar]) -> list[_Bar]:
    return [bar for bar in bars if bar.height > 0]
