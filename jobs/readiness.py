"""Jobs that no lane needs to look at yet: put off until a time, or waiting for other jobs.

Both are columns, so that such jobs are not in the indexes that a lane steps through, however many
there are. They are no more than that: whether a job may start is asked of its times and of its
parents' rows, by the lane's look and by the claim (`jobs.due`). A job that stands among the
others too early is stepped over. One that was forgotten is found by the sweep (`unblock_left`).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from jobs import transitions
from jobs.choices import Status
from jobs.models import Job, hold_queue
from jobs.querysets import waits_for_others

__all__ = ["begin_due", "note_blocked", "unblock", "unblock_left"]

# The literals are what lets a planner see that the partial indexes fit.
_COME = """
    SELECT id FROM jobs_job WHERE status = 'pending' AND deleted_at IS NULL
    AND put_off_until IS NOT NULL AND put_off_until <= %s ORDER BY put_off_until LIMIT %s
"""
_BLOCKED = """
    SELECT id FROM jobs_job WHERE status = 'pending' AND deleted_at IS NULL
    AND blocked AND id > %s ORDER BY id LIMIT %s
"""
# Rows of one transaction: a lane that waits for the write lock must not look dead.
_AT_ONCE = 500
# Jobs that one sweep looks at.
_SWEPT = 2_000


def begin_due(now: datetime) -> int:
    """Let all jobs whose time has come stand in the queue by their places; return how many.

    Before each choice, and all of them: else of those that were put off until the same moment
    the ones that are found first would start first, not the ones that stand first.
    """
    begun = 0
    at = Job._meta.get_field("put_off_until").get_db_prep_value(now, connection)
    while ids := _ids(_COME, at, _AT_ONCE):
        with transaction.atomic():
            hold_queue()
            begun += Job.objects.filter(
                pk__in=_locked(ids), put_off_until__lte=now, status=Status.PENDING
            ).update(put_off_until=None)
    return begun


def note_blocked(job_ids: Sequence[UUID]) -> None:
    """Write down which of these jobs wait for others; call it in the transaction that ties them."""
    for some in _parts(job_ids):
        Job.objects.filter(pk__in=some).update(blocked=waits_for_others())


def unblock(parents: Iterable[UUID]) -> int:
    """Let the jobs start that waited for these, and for nothing else; return how many.

    After the commit in which these ended: who ends a job holds locks that come after those of
    other jobs.
    """
    freed = 0
    waiting = Job.objects.filter(
        status=Status.PENDING, deleted_at__isnull=True, blocked=True
    ).order_by("pk")
    for some in _parts(parents):
        ids = waiting.filter(needs__parent__in=some).values_list("pk", flat=True).distinct()
        for few in _parts(list(ids)):
            freed += _free(few)
    return freed


def unblock_left(after: UUID | None) -> UUID | None:
    """Let those of the next blocked jobs start whose parents ended unnoticed (a process died).

    `after` is what the last call returned: None when all have been looked at, or to begin anew.
    """
    first = Job._meta.pk.get_db_prep_value(after or UUID(int=0), connection)
    ids = _ids(_BLOCKED, first, _SWEPT)
    for some in _parts(ids):
        left = Job.objects.filter(pk__in=some).exclude(waits_for_others())
        if free := list(left.values_list("pk", flat=True)):
            _free(free)
    return ids[-1] if len(ids) == _SWEPT else None


def _ids(statement: str, *values: Any) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [Job._meta.pk.to_python(row[0]) for row in cursor.fetchall()]


def _free(job_ids: Sequence[UUID]) -> int:
    with transaction.atomic():
        hold_queue()
        ready = Job.objects.filter(
            pk__in=_locked(job_ids), status=Status.PENDING, blocked=True
        ).exclude(waits_for_others())
        jobs = list(ready.only("pk", "app_type", "target_server_alias"))
        Job.objects.filter(pk__in=[job.pk for job in jobs]).update(blocked=False)
        transitions.announce_all(jobs)
    return len(jobs)


def _locked(job_ids: Sequence[UUID]) -> list[UUID]:
    """Lock these jobs, in the one order (docs/architecture.md), and return them."""
    rows = Job.objects.filter(pk__in=job_ids).order_by("pk").select_for_update(no_key=True)
    return list(rows.values_list("pk", flat=True))


def _parts(ids: Iterable[UUID]) -> Iterable[list[UUID]]:
    every = list(ids)
    for start in range(0, len(every), _AT_ONCE):
        yield every[start : start + _AT_ONCE]
