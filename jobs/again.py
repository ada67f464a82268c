"""Ended jobs that wait again: retried, or put back by who undoes a cancel or a retry.

As in `jobs.transitions`, all of it inside the caller's transaction.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Case, F, When
from django.utils import timezone

from jobs import events, inputs, transitions
from jobs.choices import Status
from jobs.models import Job, hold_queue
from jobs.querysets import waits_for_others

__all__ = ["put_back", "restore", "retry", "retry_many"]


def retry(job_id: UUID, **changes: datetime | None) -> bool:
    """Queue a failed or cancelled job again, with another `deadline` if that is among the changes.

    See `retry_many`. Raises jobs.inputs.InputGone: roll back then.
    """
    again, gone = retry_many([job_id], {job_id: changes["deadline"]} if changes else {})
    if gone:
        raise inputs.InputGone(str(job_id))
    return bool(again)


def retry_many(
    job_ids: Sequence[UUID], deadlines: Mapping[UUID, datetime | None] | None = None
) -> tuple[list[Job], set[UUID]]:
    """Queue failed or cancelled jobs again; each starts once its old attempt is cleared.

    A deadline that has passed goes, or the next sweep would fail the job again; one of `deadlines`
    takes its place. Returns the jobs that wait now, and those that do not, as a file that they are
    made from is gone. Call `hold_queue` before, for more than one.
    """
    transitions.in_transaction()
    now = timezone.now()
    ended = Job.objects.listed().filter(
        pk__in=job_ids, status__in=[Status.FAILED, Status.CANCELLED]
    )
    # Rows, then files, then events, each for all of them: the order in which all take their locks.
    held = {
        job.pk: job for job in ended.order_by("pk").select_for_update(no_key=True, of=("self",))
    }
    gone = inputs.hold_again(held.values())
    ids = [pk for pk in held if pk not in gone]
    rows = Job.objects.filter(pk__in=ids)
    rows.update(
        status=Status.PENDING,
        server_alias="",
        retry_at=None,
        started_at=None,
        finished_at=None,
        held=False,
        avoid_servers=[],
        memory_step=0,
        attempts_made=0,
        error_code="",
        error_message="",
        error_hint="",
        updated_at=now,
        deadline=Case(When(deadline__gt=now, then=F("deadline")), default=None),
    )
    for pk, deadline in (deadlines or {}).items():
        rows.filter(pk=pk).update(deadline=deadline)
    # Now that all of them wait: what they need may have ended, or begun anew, meanwhile.
    rows.update(blocked=waits_for_others())
    jobs = list(rows.order_by("position", "pk"))
    _tell_waiting(jobs)
    late = [job for job in jobs if job.deadline != held[job.pk].deadline]
    fields = ["deadline"]
    events.emit_for_jobs(
        "job.changed",
        [
            (job, events.JobChanged(job=str(job.pk), status=job.status, fields=fields))
            for job in late
        ],
    )
    transitions.announce_all(jobs)
    return jobs, gone


def put_back(was: Mapping[UUID, Mapping[str, Any]], *, at: datetime) -> list[Job]:
    """Let those of these jobs be failed as they were that still wait as a retry then left them.

    The undo of a retry; returns them.
    """
    transitions.in_transaction()
    hold_queue()
    waiting = Job.objects.listed().filter(pk__in=was, status=Status.PENDING, updated_at=at)
    jobs = list(waiting.order_by("pk").select_for_update(no_key=True, of=("self",)))
    now = timezone.now()
    told = []
    for job in jobs:
        Job.objects.filter(pk=job.pk).update(**was[job.pk], updated_at=now)
        job.refresh_from_db()
        trouble = transitions.Trouble(job.error_code, job.error_message, job.error_hint)
        told.append((job, {**transitions.standing_of(job, job.status), "error": trouble.as_dict()}))
    events.emit_for_jobs("job.status", told)
    transitions.announce_ended([job.pk for job in jobs])
    return jobs


def restore(job_ids: Sequence[UUID], *, ended_at: datetime) -> list[Job]:
    """Queue those of these jobs again that ended at this moment; return them.

    The undo of a cancel: what was counted stays counted, and a run that was cut off has to be
    cleared before the job starts again, as after a retry.
    """
    transitions.in_transaction()
    hold_queue()
    gone = Job.objects.listed().filter(
        pk__in=job_ids, status__in=[Status.CANCELLED, Status.FAILED], finished_at=ended_at
    )
    jobs = list(gone.order_by("pk").select_for_update(no_key=True, of=("self",)))
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(
        status=Status.PENDING,
        server_alias="",
        finished_at=None,
        blocked=waits_for_others(),
        error_code="",
        error_message="",
        error_hint="",
        updated_at=timezone.now(),
    )
    for job in jobs:
        job.status, job.server_alias = Status.PENDING, ""
    _tell_waiting(jobs)
    transitions.announce_all(jobs)
    return jobs


def _tell_waiting(jobs: Sequence[Job]) -> None:
    told = [(job, transitions.standing_of(job, Status.PENDING)) for job in jobs]
    events.emit_for_jobs("job.status", told)
