"""What another order of the queue would save: the plan of model loads."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from uuid import UUID

from django.utils import timezone

from dispatch import projection
from dispatch.projection import off
from dispatch.scheduling import hindrance
from dispatch.simulation import Course, Machine, Work, play
from jobs.models import Job, QueueSettings
from jobs.ports import Plan, PlannedCourse

__all__ = ["PREVIEWED", "forget", "plan"]

PREVIEWED = 500
# One that was made may be shown so long: several people, and reloads, ask for the same.
_FRESH_SECONDS = 2.0
# Each of the two courses stops after so long; what is not reached then is told.
_LONGEST_SECONDS = 2.0

_making = threading.Lock()
_made: tuple[float, Plan | None] = (-inf, None)


def plan() -> Plan | None:
    """Return what the waiting jobs would take as they are ordered, and grouped by checkpoint.

    Of the first PREVIEWED; None if nothing is known of the speed of any server. Made once at a
    time, as it keeps a processor busy.
    """
    global _made
    with _making:
        made_at, made = _made
        if time.monotonic() - made_at > _FRESH_SECONDS:
            made = _make()
            _made = time.monotonic(), made
        return made


def forget() -> None:
    """Make the plan anew at the next question."""
    global _made
    _made = (-inf, None)


def _make() -> Plan | None:
    now, switches = timezone.now(), QueueSettings.current()
    # What it saves doesn't depend on whether somebody paused it: it is often then that one looks.
    going = QueueSettings(
        hours=switches.hours, time_zone=switches.time_zone, run_until=switches.run_until
    )
    known = projection.machines(switches, now)
    if not known:
        return None
    under_way = projection.running(known, now)
    jobs = projection.first_waiting(PREVIEWED)
    works = projection.works(jobs, going, now, under_way)
    able, assumed = _on([under_way.beside(machine) for machine in known], works)
    names = {work.job.checkpoint for work in works}
    loaded = {name for name in names if any(m.state.has_loaded(name) for m in able)}
    order = _grouped(works, loaded)
    places = {job.pk: place for place, job in enumerate(order)}
    moved = [
        replace(
            work,
            job=replace(work.job, rank=(*work.job.rank[:2], places[work.job.id], work.job.rank[3])),
        )
        for work in works
    ]
    if switches.paused:
        assumed.insert(0, "the queue is resumed")
    assumed += [f"{name} jobs are resumed" for name in switches.paused_app_types]
    behind = Job.objects.queued().count() - len(jobs) if len(jobs) == PREVIEWED else 0
    return Plan(
        as_ordered=_told(_played(able, works)),
        grouped=_told(_played(able, moved)),
        order=[job.pk for job in order],
        assumes=assumed,
        jobs=len(jobs),
        behind=max(0, behind),
    )


def _on(machines: Sequence[Machine], works: Sequence[Work]) -> tuple[list[Machine], list[str]]:
    """Return the servers to count with, and what has to happen first.

    One that is off is taken to come back if jobs wait that no other server can do. Hours are left
    out: the time of work is compared, not that of the nights between.
    """
    always = [replace(machine, opens=0.0, closes=inf, later=()) for machine in machines]
    up = [open_ for open_, machine in zip(always, machines, strict=True) if not off(machine)]
    assumed = []
    for open_, machine in zip(always, machines, strict=True):
        if not (words := off(machine)):
            continue
        state = replace(open_.state, paused=False, healthy=True, yields="")
        back = replace(open_, state=state)
        if any(_only(back, work, up) for work in works):
            up.append(back)
            assumed.append(words)
    return up, assumed


def _only(back: Machine, work: Work, up: Sequence[Machine]) -> bool:
    return hindrance(work.job, back.state) is None and all(
        hindrance(work.job, machine.state) is not None for machine in up
    )


def _played(machines: Sequence[Machine], works: Sequence[Work]) -> Course:
    end = time.monotonic() + _LONGEST_SECONDS
    return play(machines, works, stop=lambda: time.monotonic() > end)


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
        here = 0 if name in loaded else 1
        placed.append(_Placed(work.job.id, (lane_class, priority, here, at, place)))
    return sorted(placed, key=lambda one: one.key)


def _told(course: Course) -> PlannedCourse:
    left = course.left + course.unplayed
    return PlannedCourse(loads=course.loads, seconds=course.seconds, left=left)
