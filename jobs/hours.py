"""When work may start: windows of the week in a time zone, and a moment after which it ends.

A window is meant as the clock on the wall shows it. Where that clock jumps over a part of the
window (summer time begins) the part does not happen; what it shows twice is open both times.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone

from jobs.moments import in_words
from mobilesd.errors import InvalidInput, bad_field

__all__ = [
    "OPENING_FIELDS",
    "Hours",
    "Opening",
    "OpeningRow",
    "checked_hours",
    "checked_opening",
    "checked_until",
    "checked_zone",
    "opening_of",
    "parse",
    "zone_of",
]

OPENING_FIELDS = ("hours", "time_zone", "run_until")

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60
# Two weeks: the one window of a week may lie in the hour that the clocks skip.
_HORIZON_DAYS = 15
_EXAMPLE = 'For example "23:00-07:00", or "Mon-Fri 22:00-06:00, Sat-Sun".'
_UTC = ZoneInfo("UTC")
_PART = re.compile(
    r"(?P<days>[a-z]{3,9}(?:\s*-\s*[a-z]{3,9})?)?\s*"
    r"(?:(?P<start>\d{1,2}:\d{2})\s*-\s*(?P<end>\d{1,2}:\d{2}))?"
)


@dataclass(frozen=True)
class _Span:
    """From `start` to `end`, in minutes of the day; past midnight if it ends before it starts."""

    days: frozenset[int]
    start: int
    end: int

    def has(self, weekday: int, minute: int) -> bool:
        if self.start < self.end:
            return weekday in self.days and self.start <= minute < self.end
        if minute >= self.start:
            return weekday in self.days
        return minute < self.end and (weekday - 1) % 7 in self.days


@dataclass(frozen=True)
class Hours:
    """Windows of the week; without any it is always open."""

    spans: tuple[_Span, ...] = ()

    def is_open(self, at: datetime, zone: ZoneInfo) -> bool:
        """Tell whether work may start at this moment (an aware datetime)."""
        if not self.spans:
            return True
        local = at.astimezone(zone)
        minute = local.hour * 60 + local.minute
        return any(span.has(local.weekday(), minute) for span in self.spans)

    def next_change(self, at: datetime, zone: ZoneInfo) -> datetime | None:
        """Return when it opens or closes next, in UTC; None if it never does."""
        if not self.spans:
            return None
        now = self.is_open(at, zone)
        moments = sorted({m for m in self._moments(at, zone) if m > at})
        return next((m for m in moments if self.is_open(m, zone) != now), None)

    def _moments(self, at: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """Yield all moments at which it may open or close."""
        minutes = {0} | {m % _DAY_MINUTES for s in self.spans for m in (s.start, s.end)}
        first = at.astimezone(zone).date() - timedelta(days=1)
        for number in range(_HORIZON_DAYS + 1):
            day = first + timedelta(days=number)
            for minute in minutes:
                wall = datetime.combine(day, time(minute // 60, minute % 60), zone)
                for fold in (0, 1):
                    yield wall.replace(fold=fold).astimezone(UTC)
            begin = datetime.combine(day, time(), UTC)
            jump = _jump(begin, begin + timedelta(days=1), zone)
            if jump is not None:
                yield jump


def _jump(begin: datetime, end: datetime, zone: ZoneInfo) -> datetime | None:
    """Return when the clocks of a zone jump between two moments in UTC, or None."""

    def offset(at: datetime) -> timedelta | None:
        return at.astimezone(zone).utcoffset()

    if offset(begin) == offset(end):
        return None
    before = offset(begin)
    while end - begin > timedelta(seconds=1):
        middle = begin + (end - begin) // 2
        begin, end = (middle, end) if offset(middle) == before else (begin, middle)
    return end.replace(microsecond=0)


# --- Reading ------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def parse(text: str) -> Hours:
    """Return the windows that a text means; raises InvalidInput, which names the wrong part.

    "23:00-07:00" is every day; "Mon-Fri 22:00-06:00, Sat-Sun" has whole days at the weekend. A
    window past midnight belongs to the day on which it begins. "" is always.
    """
    if not text.strip():
        return Hours()
    return Hours(tuple(_span(part.strip()) for part in text.split(",")))


def _span(part: str) -> _Span:
    found = _PART.fullmatch(part.lower())
    if found is None or not part:
        raise _wrong(f"has a part that can't be understood: {part[:60]!r}.")
    days = _days(found["days"]) if found["days"] else frozenset(range(7))
    if found["start"] is None:
        return _Span(days, 0, _DAY_MINUTES)
    start, end = _minute(found["start"]), _minute(found["end"])
    if start == _DAY_MINUTES:
        raise _wrong(f"begins at 24:00 in {part[:60]!r}.", "Write 00:00.")
    if start == end:
        raise _wrong(
            f"ends when it begins in {part[:60]!r}.", "Write 00:00-24:00 for the whole day."
        )
    return _Span(days, start, end if end else _DAY_MINUTES)


def _days(text: str) -> frozenset[int]:
    first, *last = (_day(word.strip()) for word in text.split("-"))
    if not last:
        return frozenset([first])
    return frozenset((first + n) % 7 for n in range((last[0] - first) % 7 + 1))


def _day(word: str) -> int:
    for number, name in enumerate(_DAYS):
        if word == name:
            return number
    raise _wrong(f"has no day called {word[:20]!r}.", "Days are Mon, Tue, Wed, Thu, Fri, Sat, Sun.")


def _minute(text: str) -> int:
    hour, minute = (int(digits) for digits in text.split(":"))
    if hour * 60 + minute > _DAY_MINUTES or minute > 59:
        raise _wrong(f"has no time {text}.", "Times go from 00:00 to 24:00.")
    return hour * 60 + minute


def _wrong(message: str, hint: str = _EXAMPLE) -> InvalidInput:
    return bad_field("hours", message, hint)


def checked_hours(text: str) -> str:
    """Return the text of windows as it is stored; raises InvalidInput."""
    text = " ".join(text.split())
    if len(text) > 200:
        raise _wrong("is longer than 200 characters.")
    parse(text)
    return text


def checked_zone(name: str) -> str:
    """Return the name of a time zone ("" is the installation's own); raises InvalidInput."""
    name = name.strip()
    if name and _zone(name) is None:
        raise bad_field(
            "time_zone",
            f"{name[:60]!r} is not known.",
            'Use a name of the IANA list, such as "Europe/Berlin".',
        )
    return name


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if len(name) <= 64 else None
    except (KeyError, ValueError, OSError):  # unknown, a path, a folder of the list
        return None


def zone_of(name: str) -> ZoneInfo:
    """Return a stored time zone; one that the system has lost counts as the installation's."""
    return _zone(name or settings.TIME_ZONE) or ZoneInfo(settings.TIME_ZONE)


def checked_until(text: str, zone: ZoneInfo) -> datetime | None:
    """Return the moment that a text means: "06:30" is the next one, "" none; raises InvalidInput.

    Anything else is a date and time of RFC 3339, which must not have passed.
    """
    text, now = text.strip(), timezone.now()
    if not text:
        return None
    if re.fullmatch(r"\d{1,2}:\d{2}", text):
        minute = _minute(text) % _DAY_MINUTES
        today = now.astimezone(zone).date()
        days = (today + timedelta(days=n) for n in range(2))
        walls = [datetime.combine(day, time(minute // 60, minute % 60), zone) for day in days]
        return next(wall.astimezone(UTC) for wall in walls if wall.astimezone(UTC) > now)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise bad_field(
            "run_until",
            f"{text[:60]!r} is no moment.",
            'Send a time of day such as "06:30", or a date and time with a time zone.',
        )
    if moment <= now:
        raise bad_field("run_until", "has passed already.", "Pause it instead.")
    return moment.astimezone(UTC)


def checked_opening(changes: Mapping[str, Any], zone: str) -> dict[str, Any]:
    """Return the columns of the named fields of hours, time_zone and run_until.

    `zone` is the time zone that holds unless another is named. Raises InvalidInput.
    """
    for name in OPENING_FIELDS:
        if name in changes and not isinstance(changes[name], str):
            raise bad_field(name, "must be a text.")
    values: dict[str, Any] = {}
    if "hours" in changes:
        values["hours"] = checked_hours(changes["hours"])
    if "time_zone" in changes:
        values["time_zone"] = zone = checked_zone(changes["time_zone"])
    if "run_until" in changes:
        values["run_until"] = checked_until(changes["run_until"], zone_of(zone))
    return values


# --- A queue's or a server's --------------------------------------------------------------


class OpeningRow(Protocol):
    """What has hours: the queue's settings, or a server."""

    hours: str
    time_zone: str
    run_until: datetime | None


@dataclass(frozen=True)
class Opening:
    """When a queue or a server takes jobs. All moments are aware; answers are in UTC."""

    hours: Hours = Hours()
    zone: ZoneInfo = _UTC
    run_until: datetime | None = None

    def is_open(self, at: datetime) -> bool:
        """Tell whether a job may start at this moment."""
        if self.run_until is not None and at >= self.run_until:
            return False
        return self.hours.is_open(at, self.zone)

    def closes(self, at: datetime) -> datetime | None:
        """Return when it closes if it is open now; None if it never does."""
        if not self.is_open(at):
            return at
        ends = [self.hours.next_change(at, self.zone), self.run_until]
        return min((end for end in ends if end is not None), default=None)

    def opens(self, at: datetime) -> datetime | None:
        """Return when it opens if it is closed now; None if somebody has to resume it."""
        if self.is_open(at):
            return at
        if self.hours.is_open(at, self.zone):  # then it is past `run_until`
            return None
        change = self.hours.next_change(at, self.zone)
        if change is None or (self.run_until is not None and change >= self.run_until):
            return None
        return change

    def why_closed(self, at: datetime) -> str:
        """Return in words why nothing starts now, to follow "The queue" or a server's alias."""
        if self.is_open(at):
            return ""
        opens = self.opens(at)
        if opens is not None:
            return f"is outside of its hours: it opens at {self.in_words(opens, at)}."
        if self.run_until is not None:
            until = self.in_words(min(self.run_until, at), at)
            return f"was to run until {until}, and waits to be resumed."
        return "has hours that never come."

    def in_words(self, moment: datetime, now: datetime) -> str:
        """Return a moment as people of this zone say it, as seen from now."""
        return in_words(moment, now, self.zone)


def opening_of(row: OpeningRow) -> Opening:
    """Return when this queue or server takes jobs.

    A text that no version of ours would have stored counts as "always": work is not lost by it.
    """
    if not row.hours and row.run_until is None:
        return _ALWAYS
    try:
        hours = parse(row.hours)
    except InvalidInput:
        hours = Hours()
    return Opening(hours, zone_of(row.time_zone), row.run_until)


_ALWAYS = Opening()
