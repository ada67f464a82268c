"""When nothing waits or runs any more: told once, with the end of the last job.

What waits for a nod does not count: it may wait for days.
"""

from collections.abc import Sequence
from uuid import UUID

from jobs import events
from jobs.choices import Status
from jobs.models import Job
from jobs.querysets import JobQuerySet
from jobs.signals import job_ended

__all__ = ["connect", "is_empty"]

_WAITING = (Status.PENDING, Status.PROCESSING)


def connect() -> None:
    """Listen to the ends of jobs."""
    job_ended.connect(_on_job_ended, dispatch_uid="jobs.emptiness.job_ended")


def is_empty(jobs: JobQuerySet) -> bool:
    """Tell whether none of these jobs waits or runs."""
    return not jobs.listed().filter(status__in=_WAITING, held=False).exists()


def _on_job_ended(job_ids: Sequence[UUID], **_: object) -> None:
    """Tell each owner whose last job this was, and those who see all jobs if it was the last one.

    In the transaction of the end, after its event: of two last jobs that end at once, the second
    one waits for the first one's event, and then sees that job ended.
    """
    ended = Job.objects.filter(pk__in=job_ids, owner__isnull=False)
    for owner_id in sorted(set(ended.order_by().values_list("owner", flat=True))):
        if is_empty(Job.objects.filter(owner=owner_id)):
            events.emit("queue.empty", events.QueueEmpty(whole=False), owner_id=owner_id)
    if is_empty(Job.objects.all()):
        events.emit("queue.empty", events.QueueEmpty(whole=True))
