"""Jobs that wait for other jobs: what becomes of them when those end (design §4).

Whether a job may start is asked of its parents' rows each time (`jobs.due`), so nothing
here has to happen for a job to be held back rightly. What has to happen is that a job whose
parent came to nothing fails as well. That is done after the commit of the parent's end, job by
job of the chain; a process that dies in between leaves work that `settle_left` finds.
"""

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from jobs import outputs, transitions
from jobs.choices import Status
from jobs.models import Attempt, Job, JobDependency, OnFailure, hold_queue
from jobs.ports import Button, Reason
from jobs.readiness import unblock
from jobs.signals import job_ended, job_waiting
from jobs.transitions import Trouble

__all__ = [
    "able",
    "connect",
    "dependencies_of",
    "failed_with",
    "own_reasons",
    "settle",
    "settle_left",
    "taken_along",
]

# Failed in one transaction: a lane that waits for the write lock must not look dead.
_AT_ONCE = 100
# Chains looked for by one sweep; the next one goes on.
_SWEPT = 200
_MANY = 500  # ids in one statement
_EDIT = Button("Change the job", "edit")
_UNFINISHED = (Status.PENDING, Status.PROCESSING)


# --- When a job ends ----------------------------------------------------------------------


class _Work(threading.local):
    """The ended jobs that this thread is following, while it is following any."""

    ended: deque[UUID] | None = None


_work = _Work()


def connect() -> None:
    """Listen to the ends of jobs."""
    job_ended.connect(_on_job_ended, dispatch_uid="jobs.chains.job_ended")


def _on_job_ended(job_ids: Sequence[UUID], **_: object) -> None:
    """Wake whatever may start now, and see to what can't start any more after the commit.

    The rows of others are not touched in this transaction: who ends a job holds locks that come
    after those of the queue, and may have written its event already (docs/architecture.md).
    """
    waiting: list[tuple[str, str, str]] = []
    for some in _parts(job_ids):
        found = JobDependency.objects.of_waiting_jobs().filter(parent__in=some)
        waiting += found.values_list("on_failure", "job__app_type", "job__target_server_alias")
    if not waiting:
        return
    for app_type, alias in {(app_type, alias) for _, app_type, alias in waiting}:
        job_waiting.send(sender=Job, app_type=app_type, target_server_alias=alias)
    # Robust: whoever ended the job goes on whatever happens here; the sweep tries again.
    ended = list(job_ids)
    takes_some = any(on_failure == OnFailure.CANCEL for on_failure, _, _ in waiting)

    def see_to_them() -> None:  # Django asks for a name when it logs what went wrong
        unblock(ended)
        if takes_some:
            settle(ended)

    transaction.on_commit(see_to_them, robust=True)


def settle(ended: Iterable[UUID]) -> list[UUID]:
    """Fail the waiting jobs that these took with them, and those that they take; return them.

    Each step is a transaction of its own. Doing it twice is no error.
    """
    if _work.ended is not None:  # called by the commit of a step of its own
        _work.ended.extend(ended)
        return []
    _work.ended, failed = deque(ended), []
    try:
        while _work.ended:
            some = [_work.ended.popleft() for _ in range(min(_MANY, len(_work.ended)))]
            while gone := _fail_dependents(some):
                failed += gone
    finally:
        _work.ended = None
    return failed


def settle_left() -> int:
    """Fail what waits for jobs that ended long ago: their process died before it came to that."""
    left = JobDependency.objects.hopeless().of_waiting_jobs()
    return len(settle(set(left.values_list("parent", flat=True)[:_SWEPT])))


def able(candidates: Iterable[UUID], open_again: Iterable[UUID] = ()) -> list[UUID]:
    """Return those of these jobs that can wait again once all of them do, and `open_again` too.

    One that also needs another job which came to nothing can't, nor one that needs such a one.
    """
    found = list(candidates)
    needs = [
        pair
        for some in _parts(found)
        for pair in JobDependency.objects.hopeless()
        .filter(job__in=some)
        .values_list("job", "parent")
    ]
    left, waits = set(found), {*found, *open_again}
    while stuck := {job for job, parent in needs if job in left and parent not in waits}:
        left -= stuck
        waits -= stuck
    return [pk for pk in found if pk in left]


def failed_with(parents: Iterable[UUID]) -> list[UUID]:
    """Return the jobs that failed because these came to nothing, nearest first."""
    seen = set(parents)
    frontier, found = list(seen), []
    while frontier:
        rows = Job.objects.listed().filter(
            status=Status.FAILED,
            error_code="dependency_failed",
            needs__parent__in=frontier[:_MANY],
            needs__on_failure=OnFailure.CANCEL,
        )
        ids = rows.order_by("position", "pk").values_list("pk", flat=True)
        new = [pk for pk in dict.fromkeys(ids) if pk not in seen]
        seen.update(new)
        found += new
        frontier = [*frontier[_MANY:], *new]
    return found


def _fail_dependents(parents: Sequence[UUID]) -> list[UUID]:
    # Without `write_turn`: this runs after commits of others, inside of theirs.
    with transaction.atomic():
        hold_queue()
        hopeless = (
            JobDependency.objects.hopeless()
            .of_waiting_jobs()
            .filter(parent__in=parents)
            .select_related("parent")
            .order_by("job", "parent")[:_AT_ONCE]
        )
        blame = {found.job_id: found.parent for found in reversed(hopeless)}
        held = Job.objects.filter(pk__in=blame, status=Status.PENDING).order_by("pk")
        jobs = list(held.select_for_update(no_key=True))
        return [job.pk for job in jobs if transitions.fail_pending(job, _trouble(blame[job.pk]))]


def _trouble(parent: Job) -> Trouble:
    return Trouble(
        "dependency_failed",
        f"It needs the job {parent.pk}, which {_fate(parent)}.",
        "Retry that job together with those that depend on it, or submit this one without it.",
    )


def _fate(parent: Job) -> str:
    if parent.status == Status.FAILED:
        why = f": {parent.error_message}" if parent.error_message else ""
        return f"failed{why}".rstrip(".")
    return "was deleted" if parent.status == Status.PENDING else "was cancelled"


# --- What depends on what -----------------------------------------------------------------


def taken_along(job_ids: Iterable[UUID]) -> list[UUID]:
    """Return the waiting jobs that would fail if these were cancelled, nearest first.

    Those of the jobs that have ended take nobody along.
    """
    seen = set(job_ids)
    frontier, found = list(seen), []
    while frontier:
        next_ones: list[UUID] = []
        for some in _parts(frontier):
            rows = JobDependency.objects.of_waiting_jobs()
            rows = rows.filter(
                parent__in=some, parent__status__in=_UNFINISHED, on_failure=OnFailure.CANCEL
            ).order_by("pk")
            for job_id in rows.values_list("job", flat=True):
                if job_id not in seen:
                    seen.add(job_id)
                    next_ones.append(job_id)
        found += next_ones
        frontier = next_ones
    return found


def dependencies_of(jobs: Sequence[Job]) -> Mapping[UUID, list[dict[str, Any]]]:
    """Return what each of these jobs depends on: `{"job", "on_failure", "status"}`; one query."""
    found: dict[UUID, list[dict[str, Any]]] = {}
    rows = JobDependency.objects.filter(job__in=[job.pk for job in jobs]).order_by("pk")
    for job_id, parent, on_failure, status in rows.values_list(
        "job", "parent", "on_failure", "parent__status"
    ):
        found.setdefault(job_id, []).append(
            {"job": str(parent), "on_failure": on_failure, "status": status}
        )
    return found


def own_reasons(jobs: Sequence[Job], now: datetime | None = None) -> dict[UUID, Reason]:
    """Return why those of these pending jobs wait that something of their own holds back.

    A nod, another job, a run of before, or a deadline that has passed: from the same conditions
    as `jobs.due`; two queries.
    """
    now = now or timezone.now()
    found = {job.pk: why for job in jobs if (why := _held_or_late(job, now)) is not None}
    asked = {job.pk: job for job in jobs if job.pk not in found}
    old = Attempt.objects.filter(job__in=asked, cleared_at__isnull=True)
    found |= {job_id: _old_run(alias) for job_id, alias in old.values_list("job", "server_alias")}
    unmet = JobDependency.objects.unmet().filter(job__in=asked).select_related("parent")
    for row in unmet.order_by("-pk"):  # of several, the first one that was named
        bound = row.parent_id in outputs.bound_jobs(asked[row.job_id].generation_params)
        found[row.job_id] = _reason(row, bound=bound)
    return found


def _held_or_late(job: Job, now: datetime) -> Reason | None:
    if job.deadline is not None and job.deadline <= now:
        return Reason(
            "deadline_passed", "It had to start before now. It fails in a moment.", "", (_EDIT,)
        )
    if not job.held:
        return None
    return Reason(
        "held",
        "It waits for a nod: the first jobs of its batch come first.",
        "Look at the first pictures, then let the rest run or cancel it.",
        (Button("Run the rest", "nod", str(job.batch_id)),) if job.batch_id else (),
    )


def _old_run(alias: str) -> Reason:
    return Reason(
        "old_run",
        f"Its last run on {alias} was cancelled, and has to end there first.",
        f"Wait for it. If {alias} is off, start it or test the connection.",
        (Button("Test the connection", "test_server", alias),),
    )


def _reason(row: JobDependency, *, bound: bool) -> Reason:
    """Return why a job waits; `bound`: it is made from a picture of that one."""
    parent = row.parent
    words = parent.title[:60].strip() or parent.kind
    sentence = f"It waits for the job “{words}” ({parent.pk}), which is {parent.status}."
    if parent.is_final or parent.deleted_at is not None:
        sentence = f"It needs the job {parent.pk}, which {_fate(parent)}."
    if bound:
        # Without that picture it can't run: a button that lets it would not keep its word.
        return Reason("dependency", sentence, "It is made from a picture of that job.")
    return Reason(
        "dependency",
        sentence,
        "Wait for that job, or let this one run without it.",
        (Button("Don't wait for it", "cancel_dependency", str(row.parent_id)),),
    )


def _parts(ids: Iterable[UUID]) -> Iterable[list[UUID]]:
    """Yield ids in lists that fit into a statement."""
    every = list(ids)
    for start in range(0, len(every), _MANY):
        yield every[start : start + _MANY]
