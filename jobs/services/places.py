"""Moving a waiting job to another place in the queue.

A job's place is its rank (`position`) among the jobs of its lane class and priority. Who sees all
jobs may put one anywhere. Everybody else moves a job among their own: the own jobs between take
over each other's places, so that nobody else's job has to wait longer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from apikeys.actors import Actor
from jobs import events
from jobs.choices import Status
from jobs.models import Job, hold_queue
from jobs.models.job import position_now
from jobs.querysets import JobQuerySet
from jobs.services.changes import find, wrong_state
from mobilesd.errors import Conflict, InvalidInput, NotFound
from mobilesd.sqlite import write_turn

__all__ = ["Goal", "move"]

STEP = 1_000  # microseconds: as if it had been submitted a moment before, or after
# Rows that one move reads and may renumber under the write lock.
MAX_BETWEEN = 5_000

_ORDER = ("position", "id")


@dataclass(frozen=True)
class Goal:
    """Where a job is to go: next to another one, or to an end of its priority."""

    where: Literal["before", "after", "top", "bottom"]
    neighbour: UUID | None = None


def move(job_id: UUID, goal: Goal, actor: Actor) -> Job:
    """Give a waiting job another place in the queue.

    Next to a job of another priority or lane class it takes these over, as it stands there then.
    `top` and `bottom` are those of its own priority. Raises NotFound, InvalidInput
    (`job_operation_invalid`), or Conflict if one of the two jobs does not wait any more.
    """
    if goal.neighbour == job_id:
        raise InvalidInput(
            "A job can't be moved next to itself.",
            error="job_operation_invalid",
            hint='Name another job, or send {"to": "top"}.',
        )
    with write_turn(), transaction.atomic():
        _hold(job_id, goal)
        job = _waiting(job_id, actor)
        if goal.neighbour is not None:
            _go_along(job, _neighbour(goal.neighbour, actor))
        # After it was taken over: what is between them counts in the new priority.
        if actor.sees_all_jobs:
            _put(job, *_gap(job, goal))
        else:
            _permute(job, goal, actor)
        job.updated_at = timezone.now()
        won = _still_waiting(job).update(
            position=job.position,
            priority=job.priority,
            lane_class=job.lane_class,
            updated_at=job.updated_at,
        )
        if not won:
            raise _gone(job)
        events.emit_for_job(
            "job.changed",
            job,
            events.JobChanged(
                job=str(job.pk), status=job.status, fields=["queue_position", "priority", "lane"]
            ),
        )
    return find(job_id, actor)


def _hold(job_id: UUID, goal: Goal) -> None:
    """Let nobody else move a job, or change one of these two, until the transaction ends."""
    hold_queue()
    if connection.features.has_select_for_update:
        named = [job_id, goal.neighbour] if goal.neighbour else [job_id]
        list(Job.objects.select_for_update(no_key=True).filter(pk__in=named).only("pk"))


def _waiting(job_id: UUID, actor: Actor) -> Job:
    job = find(job_id, actor)
    if job.status != Status.PENDING:
        raise _gone(job)
    return job


def _neighbour(job_id: UUID, actor: Actor) -> Job:
    try:
        return _waiting(job_id, actor)
    except NotFound:
        raise NotFound(
            f"There is no job {job_id} to move it next to.", error="job_not_found"
        ) from None


def _gone(job: Job) -> Conflict:
    return wrong_state(
        job,
        f"The job {job.pk} does not wait any more: it is {job.status}.",
        "Only jobs that wait have a place in the queue. Look at the queue again.",
    )


def _still_waiting(job: Job) -> JobQuerySet:
    return Job.objects.filter(pk=job.pk, status=Status.PENDING, deleted_at__isnull=True)


def _go_along(job: Job, neighbour: Job) -> None:
    job.priority, job.lane_class = neighbour.priority, neighbour.lane_class


def _group(job: Job) -> JobQuerySet:
    """Return the other waiting jobs of its priority and lane class, in order."""
    return (
        Job.objects.queued()
        .filter(lane_class=job.lane_class, priority=job.priority)
        .exclude(pk=job.pk)
        .order_by(*_ORDER)
        .only("pk", "position", "owner_id", "api_key_id")
    )


def _before(of: Job) -> Q:
    return Q(position__lt=of.position) | Q(position=of.position, pk__lt=of.pk)


def _after(of: Job) -> Q:
    return Q(position__gt=of.position) | Q(position=of.position, pk__gt=of.pk)


def _gap(job: Job, goal: Goal) -> tuple[Job | None, Job | None]:
    """Return the two jobs between which it is to stand; none at an end."""
    group = _group(job)
    if goal.where == "top":
        return None, group.first()
    if goal.where == "bottom":
        return group.last(), None
    neighbour = group.get(pk=cast("UUID", goal.neighbour))
    if goal.where == "before":
        return group.filter(_before(neighbour)).last(), neighbour
    return neighbour, group.filter(_after(neighbour)).first()


def _put(job: Job, left: Job | None, right: Job | None) -> None:
    """Give the job a position between two others, or beyond the last one."""
    if right is None:
        job.position = max(left.position + STEP, position_now()) if left else job.position
    elif left is None:
        job.position = right.position - STEP
    elif right.position - left.position >= 2:
        job.position = (left.position + right.position) // 2
    else:
        job.position = left.position + 1
        _push(job, right)


def _push(job: Job, right: Job) -> None:
    """Make room: those after the job go up by as little as keeps their order."""
    behind = _group(job).filter(_after(right) | Q(pk=right.pk))
    free, moved = job.position + 1, []
    for row in behind[:MAX_BETWEEN].iterator(chunk_size=200):
        if row.position >= free:
            break
        row.position = free
        free += 1
        moved.append(row)
    else:
        if len(moved) == MAX_BETWEEN:
            raise _too_many()
    Job.objects.bulk_update(moved, ["position"], batch_size=500)


def _permute(job: Job, goal: Goal, actor: Actor) -> None:
    """Let the actor's own jobs between the old and the new place take over each other's places.

    A job that comes from another priority first gets the place that its age gives it there.
    """
    own = _group(job).visible_to(actor)
    others = list(own[: MAX_BETWEEN + 1])
    if len(others) > MAX_BETWEEN:
        raise _too_many()
    order = [*others, job]
    order.sort(key=lambda row: (row.position, row.pk))
    places = [row.position for row in order]
    order.remove(job)
    order.insert(_index(order, goal), job)
    changed = []
    for row, place in zip(order, _apart(places), strict=True):
        if row.position != place:
            row.position = place
            changed.append(row)
    rest = [row for row in changed if row.pk != job.pk]
    Job.objects.bulk_update(rest, ["position"], batch_size=500)


def _index(order: Sequence[Job], goal: Goal) -> int:
    if goal.where == "top":
        return 0
    if goal.where == "bottom":
        return len(order)
    at = [row.pk for row in order].index(goal.neighbour)  # type: ignore[arg-type]
    return at if goal.where == "before" else at + 1


def _apart(places: Sequence[int]) -> list[int]:
    """Return the places with those that are the same moved apart: ids would decide there."""
    found: list[int] = []
    for place in places:
        found.append(place if not found else max(place, found[-1] + 1))
    return found


def _too_many() -> InvalidInput:
    return InvalidInput(
        f"More than {MAX_BETWEEN} jobs would have to give way.",
        error="job_operation_invalid",
        hint="Change the job's priority instead.",
    )
