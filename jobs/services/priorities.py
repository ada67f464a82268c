"""Giving many waiting jobs another priority at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apikeys.actors import Actor
from jobs import events, transitions
from jobs.models import Job, hold_queue
from jobs.services.cancelling import Skipped, check_many, skipped
from mobilesd.errors import bad_field
from mobilesd.sqlite import write_turn

__all__ = ["Prioritised", "prioritise_many"]


@dataclass(frozen=True)
class Prioritised:
    """The jobs that have the priority now, in the order of the queue, and those left alone."""

    jobs: Sequence[UUID]
    skipped: Sequence[Skipped] = field(default=())


def prioritise_many(job_ids: Sequence[UUID], priority: int, actor: Actor) -> Prioritised:
    """Give those of these jobs that wait a priority, all in one transaction.

    Those that do not wait any more, and those that there are not, are named in `skipped`. Raises
    InvalidInput, or Problem (`app_type_not_allowed`), and then changes none.
    """
    named = check_many(job_ids)
    if not 1 <= priority <= 10:
        raise bad_field("priority", f"must be from 1 (first) to 10, not {priority}.")
    with write_turn(), transaction.atomic():
        hold_queue()
        own = Job.objects.visible_to(actor).queued().filter(pk__in=named)
        jobs = list(own.select_for_update(no_key=True, of=("self",)))
        for app_type in sorted({job.app_type for job in jobs}):
            actor.require_app_type(app_type)
        changed = [job for job in jobs if job.priority != priority]
        for job in changed:
            job.priority = priority  # the journal tells what the row in memory says
        Job.objects.filter(pk__in=[job.pk for job in changed]).update(
            priority=priority, updated_at=timezone.now()
        )
        events.emit_for_jobs("job.changed", [(job, _told(job)) for job in changed])
        transitions.announce_all(changed)
    ids = [job.pk for job in jobs]
    return Prioritised(ids, skipped(named, ids, actor))


def _told(job: Job) -> events.JobChanged:
    return events.JobChanged(job=str(job.pk), status=job.status, fields=["priority"])
