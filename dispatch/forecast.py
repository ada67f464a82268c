"""What is expected of the queue, as of a moment ago: when each job starts, when all are done.

Nobody waits for it. A question gets what is known, and where that is old, a thread plays the queue
anew: one at a time, for a few seconds at the most, in a small part of the time.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import inf
from uuid import UUID

from django.conf import settings
from django.db import connections
from django.utils import timezone

from dispatch import accuracy, projection
from dispatch.simulation import Course, Machine, Stop, play
from jobs.models import Job, QueueSettings
from jobs.ports import QueueForecast

__all__ = ["SHOWN", "forget", "queue", "refresh", "starts"]

log = logging.getLogger(__name__)

# Jobs that are played; those behind them are taken to be like them.
SHOWN = 1_000
COUNTED = 100_000
# An answer may be this old before the queue is played again, which takes no more than this part
# of a processor, and no longer than this at once.
_FRESH_SECONDS = 2.0
_SHARE = 20
_LONGEST_SECONDS = 2.0
_AFTER_FAILURE_SECONDS = 10.0
# What is older than this misleads more than it helps: the queue may have become another one.
_STALE_SECONDS = 90.0


@dataclass(frozen=True)
class _Outlook:
    """The queue as it was played forward; `at` and `again` are of the monotonic clock."""

    at: float = -inf
    again: float = -inf
    starts: Mapping[UUID, datetime] = field(default_factory=dict)
    queue: QueueForecast = field(default_factory=QueueForecast)


_NOTHING = _Outlook()
_playing = threading.Lock()
_known = _NOTHING


def starts() -> Mapping[UUID, datetime]:
    """Return when waiting jobs should start, as far as that can be told."""
    return _outlook().starts


def queue() -> QueueForecast:
    """Return what is expected of the queue as a whole."""
    return _outlook().queue


def _outlook() -> _Outlook:
    now = time.monotonic()
    if now >= _known.again and _playing.acquire(blocking=False):
        if settings.FORECAST_THREAD:
            threading.Thread(target=_play_and_release, name="forecast", daemon=True).start()
        else:
            _play_and_release()
    return _known if now - _known.at < _STALE_SECONDS else _NOTHING


def forget() -> None:
    """Know nothing: the next question finds out anew."""
    global _known
    _known = _NOTHING


def refresh() -> None:
    """Play the queue now."""
    with _playing:
        _play()


def _play_and_release() -> None:
    try:
        _play()
    except Exception:  # a database that is busy or gone: it is tried again, and nobody waits
        log.exception("the queue could not be played forward")
        _try_later()
    finally:
        _playing.release()
        if settings.FORECAST_THREAD:
            connections.close_all()


def _try_later() -> None:
    global _known
    known = _known
    again = time.monotonic() + _AFTER_FAILURE_SECONDS
    _known = _Outlook(known.at, again, known.starts, known.queue)


def _play() -> None:
    global _known
    began, worked = time.monotonic(), time.thread_time()
    begins, whole = _expected(lambda: time.monotonic() - began > _LONGEST_SECONDS)
    ended = time.monotonic()
    # By the time of the processor: what others do beside it makes it no dearer.
    pause = max(_FRESH_SECONDS, _SHARE * (time.thread_time() - worked))
    _known = _Outlook(ended, ended + pause, begins, whole)
    if begins:
        accuracy.note_starts(begins)


def _expected(stop: Stop) -> tuple[Mapping[UUID, datetime], QueueForecast]:
    """Return the starts of the first jobs, and what is expected of all."""
    now, switches = timezone.now(), QueueSettings.current()
    if switches.paused:
        return {}, QueueForecast(at=now)
    known = projection.machines(switches, now)
    under_way = projection.running(known, now, rounds=True)
    able = [under_way.beside(machine) for machine in known]
    if not able:  # a speed that nobody knows: no job can be told of, so none has to be read
        return {}, _whole(Course(left=_waiting()), 0, able, under_way, now)
    jobs = projection.first_waiting(SHOWN)
    works = [*projection.works(jobs, switches, now, under_way), *under_way.rests]
    course, under_way = _without_rests(play(able, works, stop=stop), under_way)
    behind = course.unplayed + (_waiting() - SHOWN if len(jobs) == SHOWN else 0)
    begins = {step.job: now + timedelta(seconds=step.start) for step in course.steps}
    return begins, _whole(course, behind, able, under_way, now)


def _without_rests(
    course: Course, under_way: projection.Running
) -> tuple[Course, projection.Running]:
    """Return the course of the jobs that wait; the ends of later rounds are those of what runs."""
    rests = {work.job.id for work in under_way.rests}
    if not rests:
        return course, under_way
    ends = {step.job: step.end for step in course.steps if step.job in rests}
    waiting = [step for step in course.steps if step.job not in rests]
    return replace(course, steps=waiting), replace(under_way, ends={**under_way.ends, **ends})


def _waiting() -> int:
    """Return how many jobs wait, up to COUNTED."""
    return Job.objects.queued().values("pk")[:COUNTED].count()


def _whole(
    course: Course,
    behind: int,
    able: Sequence[Machine],
    under_way: projection.Running,
    now: datetime,
) -> QueueForecast:
    running = [end for end in under_way.ends.values() if end is not None]
    not_counted = course.left + len(under_way.ends) - len(running)
    seconds = max([course.seconds, *running], default=0.0)
    if course.steps:  # those behind take as long as those before them
        seconds += behind * course.seconds / len(course.steps)
    else:
        not_counted += behind
    closes = min((machine.closes for machine in able), default=inf)
    fits = sum(step.start < closes for step in course.steps)
    return QueueForecast(
        at=now,
        finish=now + timedelta(seconds=seconds) if course.steps or running else None,
        not_counted=not_counted,
        error=accuracy.recent_error(),
        closes=now + timedelta(seconds=closes) if closes != inf else None,
        fits=fits,
        fits_at_least=bool(behind) and fits == len(course.steps),
    )
