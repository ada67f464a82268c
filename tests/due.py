"""What is due, said once more in Django's words: the product's statements are held against it."""

from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q

from jobs.hours import opening_of
from jobs.models import Attempt, Job, QueueSettings
from jobs.querysets import JobQuerySet, waits_for_others

__all__ = ["due"]


def due(now: datetime) -> JobQuerySet:
    """Return the queued jobs that nothing but a free server holds back.

    A retried job waits until the backend is known to be rid of its old attempt, the rest of a
    batch for a nod, and a job of a chain for those that it depends on; while the queue or its
    app type is paused, or outside of the queue's hours, none is due; past its deadline a job
    never is, unless it began in time and has rounds left.
    """
    switches = QueueSettings.current()
    queued: Any = Job.objects.queued()
    if switches.paused or not opening_of(switches).is_open(now):
        return queued.none()
    uncleared = Attempt.objects.filter(job=OuterRef("pk"), cleared_at__isnull=True)
    return (
        queued.filter(Q(not_before__isnull=True) | Q(not_before__lte=now))
        .filter(Q(retry_at__isnull=True) | Q(retry_at__lte=now))
        .filter(Q(deadline__isnull=True) | Q(deadline__gt=now) | Q(images_made__gt=0))
        .filter(~Exists(uncleared))
        .filter(held=False)
        .filter(~waits_for_others())
        .exclude(app_type__in=switches.paused_app_types)
    )
