"""Deleted jobs go for good once nobody can undo it."""

import time
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from apikeys.models import ApiKey
from jobs.choices import Status
from jobs.models import Attempt, Event, Idempotency, Job, JobDependency, Retry
from jobs.usage import DAY

__all__ = [
    "IDEMPOTENCY_DAYS",
    "UNDO_SECONDS",
    "forget_idempotency_keys",
    "forget_retries",
    "purge_deleted",
]

UNDO_SECONDS = 600
IDEMPOTENCY_DAYS = 30  # the contract promises 14 at the least (design §4)
_BATCH = 20
_PAUSE_SECONDS = 0.05


def purge_deleted() -> int:
    """Delete the jobs that were deleted longer ago than the undo time; return how many.

    Pictures keep their parameters and lose only the link. Works in short transactions with
    pauses, so that no lane waits long for the write lock.
    """
    total = 0
    while purged := _purge_some():
        total += purged
        time.sleep(_PAUSE_SECONDS)
    return total


def _purge_some() -> int:
    # An attempt that is not cleared may still run at its backend: its row is all that the next
    # lane has to find it by (protocol rule 6), so the job stays until then.
    uncleared = Attempt.objects.filter(job=OuterRef("pk"), cleared_at__isnull=True)
    now = timezone.now()
    limit = now - timedelta(seconds=UNDO_SECONDS)
    # What a key with a quota deletes still counts for a day, or deleting would be a way around it.
    has_quota = Q(jobs_per_day__isnull=False) | Q(gpu_seconds_per_day__isnull=False)
    limited = Exists(ApiKey.objects.filter(has_quota, prefix=OuterRef("api_key_id")))
    # What still waits for a deleted job knows by its row that it was completed, and takes its
    # pictures by it; what can't wait any more has failed long ago (jobs.chains).
    needed = JobDependency.objects.filter(
        parent=OuterRef("pk"),
        job__status__in=[Status.PENDING, Status.PROCESSING],
        job__deleted_at__isnull=True,
    )
    due = (
        Job.objects.filter(~Exists(uncleared), ~Exists(needed), deleted_at__lt=limit)
        .filter(~limited | Q(deleted_at__lt=now - DAY))
        .order_by("deleted_at")
    )
    if not due.exists():
        return 0
    with transaction.atomic():
        jobs = list(due.select_for_update().values_list("pk", flat=True)[:_BATCH])
        # Events are kept at least 7 days (design §9), or a page that slept would never hear that
        # the job is gone; without a job they end by their age.
        Event.objects.filter(job__in=jobs).update(job=None)
        Job.objects.filter(pk__in=jobs).delete()
    return len(jobs)


def forget_retries() -> int:
    """Delete what is known of retries once no quota counts them; return how many."""
    limit = timezone.now() - timedelta(days=IDEMPOTENCY_DAYS)
    return Retry.objects.filter(at__lt=limit).delete()[0]


def forget_idempotency_keys() -> int:
    """Delete the keys of submissions that nobody can still be repeating; return how many."""
    limit = timezone.now() - timedelta(days=IDEMPOTENCY_DAYS)
    return Idempotency.objects.filter(at__lt=limit).delete()[0]
