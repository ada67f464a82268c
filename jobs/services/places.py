"""Moving waiting jobs to another place in the queue.

A job's place is its rank (`position`) among the jobs of its lane class and priority. Who sees all
jobs may put them anywhere. Everybody else moves jobs among their own: where jobs of others stand
between the old and the new place, the own jobs there take over each other's places, so that
nobody else's job has to wait longer. Several jobs are moved together, in the order in which they
wait, and stand side by side then.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from apikeys.actors import Actor
from jobs import events
from jobs.choices import LaneClass, Status
from jobs.models import Job, hold_queue
from jobs.models.job import position_now
from jobs.querysets import JobQuerySet
from jobs.services.cancelling import Skipped, check_many, skipped
from jobs.services.changes import find, wrong_state
from jobs.services.ranks import WIDE, Group, Place, renumber
from mobilesd.errors import InvalidInput, NotFound
from mobilesd.sqlite import write_turn

__all__ = ["ENDS", "Goal", "Moved", "arrange", "move", "move_many"]

End = Literal["top", "bottom", "first", "last"]
ENDS: tuple[End, ...] = get_args(End)

NEXT = 16_000  # nanoseconds after the last job: as if submitted together with it
# Rows that the move of a member reads and may renumber under the write lock.
MAX_BETWEEN = 5_000


@dataclass(frozen=True)
class Goal:
    """Where jobs are to go: next to another one, or to an end.

    `top` and `bottom` are those of their priority, `first` and `last` those of all that the actor
    may see, whatever the priority.
    """

    where: Literal["before", "after"] | End
    neighbour: UUID | None = None


@dataclass(frozen=True)
class TakenOver:
    """A priority and lane class that moved jobs took over, and how many of them did."""

    priority: int
    lane_class: str
    count: int


@dataclass(frozen=True)
class Moved:
    """The jobs that were moved, in their order, and those that were left alone.

    `taken`: what they took over where they stand now; None if they had it before.
    """

    jobs: Sequence[UUID]
    skipped: Sequence[Skipped] = field(default=())
    taken: TakenOver | None = None


# --- What can be asked for --------------------------------------------------------------------


def move(job_id: UUID, goal: Goal, actor: Actor) -> Job:
    """Give a waiting job another place in the queue.

    Next to a job of another priority or lane class it takes these over, as it stands there then.
    So it does on its way to `first` and `last`. Raises NotFound, InvalidInput
    (`job_operation_invalid`), or Conflict if one of the two jobs does not wait any more.
    """
    _check_goal([job_id], goal)
    with write_turn(), transaction.atomic():
        _hold([job_id], goal)
        job = _waiting(job_id, actor)
        _move([job], goal, actor)
    return find(job_id, actor)


def move_many(job_ids: Sequence[UUID], goal: Goal, actor: Actor) -> Moved:
    """Give waiting jobs another place, side by side, in the order in which they wait now.

    Those that do not wait any more, and those that there are not, are named in `skipped` and stand
    in nobody's way. Otherwise as `move`; at most `cancelling.MANY` jobs.
    """
    named = check_many(job_ids)
    _check_goal(named, goal)
    with write_turn(), transaction.atomic():
        _hold(named, goal)
        own = Job.objects.visible_to(actor).queued().filter(pk__in=named)
        jobs = list(own.only(*_COLUMNS))
        if goal.neighbour is not None:
            _neighbour(goal.neighbour, actor)  # though there be nothing to move
        were = [_level(job) for job in jobs]
        _move(jobs, goal, actor)
    ids = [job.pk for job in jobs]
    changed = [job for job, was in zip(jobs, were, strict=True) if _level(job) != was]
    taken = TakenOver(changed[0].priority, changed[0].lane_class, len(changed)) if changed else None
    return Moved(ids, skipped(named, ids, actor), taken)


def arrange(job_ids: Sequence[UUID], actor: Actor) -> Moved:
    """Let waiting jobs take over each other's places, so that they stand in this order.

    Jobs that are not named keep their places, and so does everybody else's. Inside of each
    priority and lane class; the order between these is not changed. Returns those that stand
    elsewhere now; jobs that do not wait any more are named in `skipped`. Raises InvalidInput for
    too many.
    """
    named = list(dict.fromkeys(job_ids))
    if len(named) > MAX_BETWEEN:
        raise _too_many()
    with write_turn(), transaction.atomic():
        _hold(named, None)
        jobs = [
            job
            for start in range(0, len(named), 500)
            for job in Job.objects.visible_to(actor)
            .queued()
            .filter(pk__in=named[start : start + 500])
            .only(*_COLUMNS)
        ]
        rank = {pk: number for number, pk in enumerate(named)}
        moved: list[Job] = []
        for some in _by_group(jobs):
            _untie(Group(some[0].lane_class, some[0].priority), some)
            moved += _take_over(sorted(some, key=lambda job: rank[job.pk]))
        _save(moved, moved)
    moved.sort(key=lambda job: rank[job.pk])
    left = skipped(named, [job.pk for job in jobs], actor)
    return Moved([job.pk for job in moved], left)


# --- Checks and locks -------------------------------------------------------------------------

_COLUMNS = (
    *("pk", "status", "lane_class", "priority", "position"),
    *("owner_id", "api_key_id", "app_type", "target_server_alias"),
)


def _check_goal(job_ids: Sequence[UUID], goal: Goal) -> None:
    if goal.neighbour in job_ids:
        raise InvalidInput(
            "A job can't be moved next to itself.",
            error="job_operation_invalid",
            hint='Name another job, or send {"to": "top"}.',
        )


def _hold(job_ids: Sequence[UUID], goal: Goal | None) -> None:
    """Let nobody else move a job, or change one of these, until the transaction ends."""
    hold_queue()
    if connection.features.has_select_for_update:
        named = [*job_ids, goal.neighbour] if goal and goal.neighbour else job_ids
        locked = Job.objects.select_for_update(no_key=True).filter(pk__in=named)
        list(locked.order_by("pk").only("pk"))


def _waiting(job_id: UUID, actor: Actor) -> Job:
    job = find(job_id, actor)
    if job.status != Status.PENDING:
        raise wrong_state(
            job,
            f"The job {job.pk} does not wait any more: it is {job.status}.",
            "Only jobs that wait have a place in the queue. Look at the queue again.",
        )
    return job


def _neighbour(job_id: UUID, actor: Actor) -> Job:
    try:
        return _waiting(job_id, actor)
    except NotFound:
        raise NotFound(
            f"There is no job {job_id} to move it next to.", error="job_not_found"
        ) from None


def _too_many() -> InvalidInput:
    return InvalidInput(
        f"More than {MAX_BETWEEN} jobs would have to give way.",
        error="job_operation_invalid",
        hint="Change the job's priority instead.",
    )


# --- Moving -----------------------------------------------------------------------------------


def _place(job: Job) -> Place:
    return job.position, job.pk


def _level(job: Job) -> tuple[int, int]:
    """Return what comes before a job's place: lower is sooner."""
    return int(job.lane_class != LaneClass.INTERACTIVE), job.priority


def _by_group(jobs: Sequence[Job]) -> list[list[Job]]:
    """Return the jobs by lane class and priority, each group in the order given."""
    groups: dict[tuple[str, int], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.lane_class, job.priority), []).append(job)
    return list(groups.values())


def _move(jobs: Sequence[Job], goal: Goal, actor: Actor) -> None:
    """Move jobs, which stand in the order of the queue, inside the caller's transaction."""
    if goal.where in ("first", "last") and jobs:
        goal = _to_end(jobs, goal, actor)
    if goal.neighbour is None:
        for group in _by_group(jobs):
            _move_block(group, goal, None, actor)
        return
    neighbour = _neighbour(goal.neighbour, actor)
    for job in jobs:
        # Before its place is looked for: what is between counts in the new priority.
        job.priority, job.lane_class = neighbour.priority, neighbour.lane_class
    if jobs:
        _move_block(jobs, goal, neighbour, actor)


def _to_end(jobs: Sequence[Job], goal: Goal, actor: Actor) -> Goal:
    """Give jobs the priority and lane class of an end of the queue; return the end to move to.

    Looked for here, under the lock: the job that waits there is the next one to start.
    """
    first = goal.where == "first"
    others = Job.objects.visible_to(actor).queued().exclude(pk__in=[job.pk for job in jobs])
    there = others.first() if first else others.last()
    ends = [job for job in (there, *jobs) if job is not None]
    outermost = min(ends, key=_level) if first else max(ends, key=_level)
    priority, lane_class = outermost.priority, outermost.lane_class
    for job in jobs:
        job.priority, job.lane_class = priority, lane_class
    return replace(goal, where="top" if first else "bottom")


def _move_block(jobs: Sequence[Job], goal: Goal, beside: Job | None, actor: Actor) -> None:
    """Move jobs of one priority and lane class side by side."""
    group = Group(jobs[0].lane_class, jobs[0].priority, frozenset(job.pk for job in jobs))
    if actor.sees_all_jobs:
        _put(group, jobs, goal.where, beside)
        _save(jobs, jobs)
        return
    if beside is None:
        own = group.waiting().visible_to(actor)
        beside = own.first() if goal.where == "top" else own.last()
    if beside is None:
        _save(jobs, jobs)  # nothing to go past: they stay where their age puts them
        return
    before = goal.where in ("before", "top")
    stretch = _stretch(group, [beside, *jobs])
    if _not_of(actor, stretch).exists():
        _untie(group, [beside, *jobs])
        own = _stretch(group, [beside, *jobs]).visible_to(actor)
        _save(jobs, _permuted(own, jobs, beside, before))
    else:
        _put(group, jobs, "before" if before else "after", beside)
        _save(jobs, jobs)


def _stretch(group: Group, jobs: Sequence[Job]) -> JobQuerySet:
    """Return the waiting jobs from the first one's place to the last one's."""
    first, last = min(map(_place, jobs)), max(map(_place, jobs))
    return group.waiting().filter(
        Q(position__gt=first[0]) | Q(position=first[0], pk__gte=first[1]),
        Q(position__lt=last[0]) | Q(position=last[0], pk__lte=last[1]),
    )


def _not_of(actor: Actor, jobs: JobQuerySet) -> JobQuerySet:
    """Keep what `visible_to` leaves out."""
    if actor.user_id is not None:
        return jobs.exclude(owner_id=actor.user_id)
    return jobs.exclude(owner__isnull=True, api_key_id=actor.key_prefix)


def _put(group: Group, jobs: Sequence[Job], where: str, beside: Job | None) -> None:
    """Give jobs positions next to another job, or beyond the first or last one."""
    if where in ("top", "bottom"):
        waiting = group.waiting().only("pk", "position")
        beside = waiting.first() if where == "top" else waiting.last()
    if beside is None:
        return  # alone there
    place = _place(beside)
    left: Place | None = place
    right: Place | None = place
    if where in ("before", "top"):
        left = next(iter(group.below(place, 1)), None)
    else:
        right = next(iter(group.above(place, 1)), None)
    positions: Sequence[int]
    if left is not None and right is not None:
        positions = group.between(left, right, len(jobs))
    elif right is not None:
        positions = range(right[0] - WIDE * len(jobs), right[0], WIDE)
    else:
        first = max(place[0] + NEXT, position_now())
        positions = range(first, first + NEXT * len(jobs), NEXT)
    for job, position in zip(jobs, positions, strict=True):
        job.position = position


def _permuted(own: JobQuerySet, jobs: Sequence[Job], beside: Job, before: bool) -> list[Job]:
    """Let the own jobs of a stretch take over each other's places; return those that changed.

    Jobs that come from another priority first get the places that their age gives them there.
    """
    others = list(own.only(*_COLUMNS)[: MAX_BETWEEN + 1])
    if len(others) > MAX_BETWEEN:
        raise _too_many()
    at = [row.pk for row in others].index(beside.pk) + (0 if before else 1)
    order = [*others[:at], *jobs, *others[at:]]
    return _take_over(order)


def _take_over(order: Sequence[Job]) -> list[Job]:
    """Give the places of these jobs to the same jobs in this order; return those that changed."""
    changed = []
    for job, position in zip(order, sorted(job.position for job in order), strict=True):
        if job.position != position:
            job.position = position
            changed.append(job)
    return changed


def _untie(group: Group, jobs: Sequence[Job]) -> None:
    """See to it that these jobs share no place with another one between them.

    Ids decide between jobs of one place, and would decide otherwise for another job that takes it
    over. Jobs that are only about to come into the group go a little behind whom they meet.
    """
    everybody = Group(group.lane_class, group.priority)
    coming = _from_elsewhere(everybody, jobs)
    places = list(_stretch(everybody, jobs).values_list("position", flat=True))
    places += [job.position for job in coming]
    if len(set(places)) == len(places):
        return
    everybody.separate(min(map(_place, jobs)), window=len(places))
    fresh = dict(
        everybody.waiting().filter(pk__in=[job.pk for job in jobs]).values_list("pk", "position")
    )
    for job in jobs:
        job.position = fresh.get(job.pk, job.position)
    taken = set(_stretch(everybody, jobs).values_list("position", flat=True))
    for job in coming:
        while job.position in taken:
            job.position += 1
        taken.add(job.position)


def _from_elsewhere(group: Group, jobs: Sequence[Job]) -> list[Job]:
    here = set(group.waiting().filter(pk__in=[job.pk for job in jobs]).values_list("pk", flat=True))
    return [job for job in jobs if job.pk not in here]


def _save(moved: Sequence[Job], changed: Sequence[Job]) -> None:
    """Write the places of all that changed, and tell of those that were moved."""
    prepare = Job._meta.pk.get_db_prep_value
    now = timezone.now()
    at = Job._meta.get_field("updated_at").get_db_prep_value(now, connection)
    ids = {job.pk for job in moved}
    renumber((job.position, job.pk) for job in changed if job.pk not in ids)
    rows = [
        (job.position, job.priority, job.lane_class, at, prepare(job.pk, connection))
        for job in moved
    ]
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE jobs_job SET position = %s, priority = %s, lane_class = %s, updated_at = %s"
            " WHERE id = %s",
            rows,
        )
    fields = ["queue_position", "priority", "lane"]
    events.emit_for_jobs(
        "job.changed",
        [
            (job, events.JobChanged(job=str(job.pk), status=job.status, fields=fields))
            for job in moved
        ],
    )
