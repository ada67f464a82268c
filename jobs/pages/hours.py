"""When the queue works: its hours as a line of the queue page, and the form that changes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from jobs.hours import OPENING_FIELDS, Opening, OpeningRow, opening_of
from jobs.models import QueueSettings
from jobs.pages.actions import done, only_staff
from jobs.ports import ports
from jobs.services import planning
from mobilesd.errors import Problem
from mobilesd.http.pages import go_to

__all__ = ["HoursLine", "fitting", "hours", "hours_line", "opening_changes", "opening_form"]

_Fitting = tuple[datetime | None, int | None, bool]
_NOTHING_FITS: _Fitting = (None, None, False)


@dataclass(frozen=True)
class HoursLine:
    """How the queue stands to its hours; `fits` jobs (or more) should start before `fits_until`."""

    limited: bool
    is_open: bool
    opens: datetime | None
    closes: datetime | None
    over: datetime | None
    fits: int | None
    fits_until: datetime | None
    at_least: bool


def hours_line(switches: QueueSettings, *, waiting: bool) -> HoursLine | None:
    """Return what the queue page says of hours; None if there are none, of no server either."""
    opening, now = opening_of(switches), timezone.now()
    until, fits, at_least = fitting() if waiting and not switches.paused else _NOTHING_FITS
    limited = bool(opening.hours.spans) or opening.run_until is not None
    if not limited and until is None:
        return None
    is_open = opening.is_open(now)
    opens = None if is_open else opening.opens(now)
    return HoursLine(
        limited=limited,
        is_open=is_open,
        opens=opens,
        closes=opening.closes(now) if is_open else None,
        over=_over(opening, now) if not is_open and opens is None else None,
        fits=fits,
        fits_until=until,
        at_least=at_least,
    )


def fitting() -> _Fitting:
    """Return when the first window closes, how many jobs start before, and whether more may."""
    found = ports.servers.queue_forecast()
    return (found.closes, found.fits, found.fits_at_least) if found.closes else _NOTHING_FITS


def _over(opening: Opening, now: datetime) -> datetime | None:
    return min(opening.run_until, now) if opening.run_until is not None else None


# --- The form, which servers have as well ---------------------------------------------------


@lru_cache(maxsize=1)
def _zones() -> list[str]:
    return sorted(available_timezones())


def opening_form(row: OpeningRow, typed: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what `jobs/_opening.html` shows: the hours of a queue or a server, or what was typed.

    An end that has been set is a time of day in the zone of the hours.
    """
    opening, now = opening_of(row), timezone.now()
    until = opening.run_until
    ahead = until is not None and until > now
    shown = f"{until.astimezone(opening.zone):%H:%M}" if until is not None and ahead else ""
    stored = {"hours": row.hours, "time_zone": row.time_zone, "run_until": shown}
    return {
        "values": dict(stored) if typed is None else {name: typed[name] for name in stored},
        "was": shown if typed is None else typed["was_run_until"],
        "until": until if ahead else None,
        "zones": _zones(),
        "own_zone": settings.TIME_ZONE,
        # The device's zone is offered to who sets hours for the first time, and to nobody else.
        "preset": typed is None and not row.hours and not row.time_zone,
    }


def opening_changes(typed: Mapping[str, str]) -> dict[str, str]:
    """Return which of the fields of the form are to be changed.

    An end that was left as it is stays: its time of day would mean another day by now.
    """
    names = [name for name in OPENING_FIELDS if name in typed]
    if typed.get("run_until") == typed.get("was_run_until"):
        names = [name for name in names if name != "run_until"]
    return {name: typed[name] for name in names}


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def hours(request: HttpRequest) -> HttpResponse:
    """Show and change when the queue works; `only=run_until` is the short way, from its menu."""
    only_staff(request)
    row = QueueSettings.current()
    if request.method != "POST":
        return _page(request, row)
    typed = {
        name: request.POST.get(name, "").strip() for name in (*OPENING_FIELDS, "was_run_until")
    }
    if request.POST.get("only") == "run_until":
        changed = planning.change_hours({"run_until": typed["run_until"]})
        return done(request, _until_in_words(opening_of(changed)))
    try:
        changes = opening_changes(typed)
        planning.change_hours(changes)
    except Problem as problem:
        return _page(request, row, typed, problem)
    return go_to(request, "queue", _in_words(opening_of(QueueSettings.current())))


def _page(
    request: HttpRequest,
    row: QueueSettings,
    typed: Mapping[str, str] | None = None,
    problem: Problem | None = None,
) -> HttpResponse:
    errors = {
        name: " ".join(sentences) for name, sentences in (problem.fields if problem else {}).items()
    }
    context = {
        "page": "queue",
        "line": hours_line(row, waiting=True),
        "opening": opening_form(row, typed),
        "errors": errors,
        "problem": problem,
    }
    return render(request, "jobs/hours.html", context, status=422 if problem else 200)


def _in_words(opening: Opening) -> str:
    now = timezone.now()
    if not opening.is_open(now):
        return f"Saved. The queue {opening.why_closed(now)}"
    closes = opening.closes(now)
    if closes is None:
        return "Saved. The queue is always open."
    return f"Saved. The queue is open until {opening.in_words(closes, now)}."


def _until_in_words(opening: Opening) -> str:
    if opening.run_until is None:
        return "No end is set any more."
    return f"The queue runs until {opening.in_words(opening.run_until, timezone.now())}."
