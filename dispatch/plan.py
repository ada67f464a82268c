"""What is expected of the queue: when each job starts, and what another order would save."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import inf
from uuid import UUID

from django.utils import timezone

from dispatch.candidates import server_states, to_candidate, work_units
from dispatch.models import Server, Timing
from dispatch.simulation import Course, Machine, Work, play
from jobs.chains import own_reasons
from jobs.hours import opening_of
from jobs.models import Job, QueueSettings
from jobs.ports import Plan, PlannedCourse

__all__ = ["fits", "forget", "machines", "plan", "starts"]

# Jobs that are played forward: for what is shown beside jobs, and for a preview.
SHOWN = 200
PREVIEWED = 500
# What is shown may be this old, and takes no more than this part of the time.
_FRESH_SECONDS = 2.0
_SHARE = 20


def machines(switches: QueueSettings, now: datetime) -> list[Machine]:
    """Return the servers with what is known of their speed; those without any are left out."""
    rows = list(Server.objects.order_by("alias"))
    timings: dict[int, list[Timing]] = {}
    for timing in Timing.objects.filter(server__in=rows):
        timings.setdefault(timing.server_id, []).append(timing)
    found = []
    for row, state in zip(rows, server_states(rows), strict=True):
        learned = timings.get(row.pk, [])
        speeds = {timing.checkpoint: timing.unit_seconds for timing in learned if timing.runs}
        if not speeds:
            continue
        opens, closes = _window(row, switches, now)
        if opens is None:
            continue
        found.append(
            Machine(
                # Its hours are told by opens and closes.
                state=replace(state, closed=""),
                unit_seconds=speeds,
                load_seconds={t.checkpoint: t.load_seconds for t in learned if t.loads},
                free_at=state.free_in,
                opens=opens,
                closes=closes,
                loaded_for=(now - row.loaded_since).total_seconds() if row.loaded_since else inf,
            )
        )
    return found


def _window(server: Server, switches: QueueSettings, now: datetime) -> tuple[float | None, float]:
    """Return in how many seconds jobs may start, and from when on not any more."""
    both = (opening_of(server), opening_of(switches))
    moment = now
    for _ in range(14):  # until a moment is found at which both are open
        later = [at for opening in both if (at := opening.opens(moment)) is not None]
        if len(later) < len(both):
            return None, inf
        latest = max(later)
        if latest == moment:
            break
        moment = latest
    else:
        return None, inf
    ends = [end for opening in both if (end := opening.closes(moment)) is not None]
    closes = (min(ends) - now).total_seconds() if ends else inf
    return (moment - now).total_seconds(), closes


def _works(jobs: Sequence[Job], switches: QueueSettings, now: datetime) -> list[Work]:
    own = own_reasons(jobs)
    works = []
    for job in jobs:
        candidate = to_candidate(job, now, switches=switches)
        candidate = replace(candidate, closed="", held_back=own.get(job.pk))
        works.append(Work(candidate, work_units(job.generation_params)))
    return works


# --- When jobs start ----------------------------------------------------------------------


@dataclass
class _Expected:
    """The queue as it was played forward a moment ago, in this process."""

    at: datetime
    course: Course = field(default_factory=Course)
    starts: Mapping[UUID, datetime] = field(default_factory=dict)
    closes: datetime | None = None
    good_until: float = 0.0


_lock = threading.Lock()
_expected: _Expected | None = None


def _now_expected() -> _Expected:
    """Return what is expected, played anew only now and then, and by one thread at a time."""
    global _expected
    known = _expected
    if known is not None and time.monotonic() < known.good_until:
        return known
    if not _lock.acquire(blocking=known is None):
        return known or _Expected(timezone.now())
    try:
        began = time.monotonic()
        found = _play()
        took = time.monotonic() - began
        found.good_until = began + took + max(_FRESH_SECONDS, _SHARE * took)
        _expected = found
        return found
    finally:
        _lock.release()


def forget() -> None:
    """Play the queue anew at the next question."""
    global _expected
    _expected = None


def _play() -> _Expected:
    now, switches = timezone.now(), QueueSettings.current()
    able = machines(switches, now)
    if not able or switches.paused:
        return _Expected(now)
    jobs = list(Job.objects.queued()[:SHOWN])
    course = play(able, _works(jobs, switches, now))
    starts = {step.job: now + timedelta(seconds=step.start) for step in course.steps}
    ends = [machine.closes for machine in able if machine.closes != inf]
    closes = now + timedelta(seconds=min(ends)) if ends else None
    return _Expected(now, course, starts, closes)


def starts() -> Mapping[UUID, datetime]:
    """Return when each of the first waiting jobs should start, as of a moment ago."""
    return _now_expected().starts


def fits() -> tuple[datetime, int] | None:
    """Return when the first window closes, and how many of the first SHOWN jobs start before.

    None if no window closes, or nothing is known of the speed of any server.
    """
    expected = _now_expected()
    if expected.closes is None:
        return None
    count = sum(start < expected.closes for start in expected.starts.values())
    return expected.closes, count


# --- Another order ------------------------------------------------------------------------


def plan() -> Plan | None:
    """Return what the waiting jobs would take as they are ordered, and grouped by checkpoint.

    Of the first PREVIEWED; None if nothing is known of the speed of any server.
    """
    now, switches = timezone.now(), QueueSettings.current()
    able = machines(switches, now)
    if not able:
        return None
    jobs = list(Job.objects.queued()[:PREVIEWED])
    works = _works(jobs, switches, now)
    order = _grouped(works, {machine.state.loaded for machine in able})
    places = {job.pk: place for place, job in enumerate(order)}
    moved = [
        replace(
            work,
            job=replace(work.job, rank=(*work.job.rank[:2], places[work.job.id], work.job.rank[3])),
        )
        for work in works
    ]
    return Plan(
        as_ordered=_told(play(able, works)),
        grouped=_told(play(able, moved)),
        order=[job.pk for job in order],
    )


@dataclass(frozen=True)
class _Placed:
    pk: UUID
    key: tuple[int, ...]


def _grouped(works: Sequence[Work], loaded: set[str]) -> list[_Placed]:
    """Return the jobs so that those of a model follow each other, the loaded ones first.

    Only inside of a class and priority; models come in the order of their first jobs.
    """
    first: dict[tuple[int, int, str], int] = {}
    placed = []
    for place, work in enumerate(works):
        lane_class, priority = work.job.rank[:2]
        name = work.job.checkpoint
        at = first.setdefault((lane_class, priority, name), place)
        here = 0 if name in loaded or not name else 1
        placed.append(_Placed(work.job.id, (lane_class, priority, here, at, place)))
    return sorted(placed, key=lambda one: one.key)


def _told(course: Course) -> PlannedCourse:
    return PlannedCourse(loads=course.loads, seconds=course.seconds, left=course.left)
