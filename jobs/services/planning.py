"""The hours of the queue, and putting it into the order of a plan."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apikeys.actors import Actor
from jobs import events
from jobs.hours import OPENING_FIELDS, checked_opening, opening_of, zone_of
from jobs.models import Job, QueueSettings, hold_queue
from jobs.ports import Plan, ports
from jobs.services.places import arrange
from jobs.signals import queue_resumed
from mobilesd.errors import Conflict, bad_field
from mobilesd.http.times import rfc3339
from mobilesd.sqlite import write_turn

__all__ = ["MOST", "apply_order", "change_hours", "plan", "shown_hours", "visible"]

MOST = 500


def change_hours(changes: Mapping[str, Any]) -> QueueSettings:
    """Change hours, time_zone or run_until of the queue; the rest stays. Raises InvalidInput."""
    for name in changes:
        if name not in OPENING_FIELDS:
            raise bad_field(
                name[:60],
                "can't be changed here.",
                f"These can: {', '.join(OPENING_FIELDS)}.",
                error="unsupported_parameter",
            )
    if not changes:
        raise bad_field(OPENING_FIELDS[0], "is missing.", error="missing_required_field")
    with write_turn(), transaction.atomic():
        hold_queue()
        settings = QueueSettings.objects.get_or_create(pk=1)[0]
        for name, value in checked_opening(changes, settings.time_zone).items():
            setattr(settings, name, value)
        settings.save(update_fields=list(OPENING_FIELDS))
        events.emit(
            "queue.paused",
            events.QueuePaused(
                paused=settings.paused,
                paused_app_types=settings.paused_app_types,
                server=None,
                app_type=None,
            ),
            public=True,
        )
        queue_resumed.send(sender=QueueSettings, app_type="")
    return settings


def shown_hours(settings: QueueSettings) -> dict[str, Any]:
    """Return the hours of the queue as the API shows them."""
    opening, now = opening_of(settings), timezone.now()
    return {
        "hours": settings.hours,
        "time_zone": zone_of(settings.time_zone).key,
        "run_until": rfc3339(settings.run_until),
        "opens_at": rfc3339(None if opening.is_open(now) else opening.opens(now)),
        "closes_at": rfc3339(opening.closes(now)),
    }


def plan() -> Plan:
    """Return what grouping the queue would save; raises Conflict if that can't be said yet."""
    found = ports.servers.plan()
    if found is None:
        raise Conflict(
            "Nothing is known yet of how long jobs take on any server.",
            hint="Ask again once a few jobs have run.",
        )
    return found


def visible(order: Sequence[UUID], actor: Actor) -> list[UUID]:
    """Return those of these jobs that an actor may see, in their order."""
    own = set(Job.objects.visible_to(actor).filter(pk__in=order).values_list("pk", flat=True))
    return [job_id for job_id in order if job_id in own]


def apply_order(order: Sequence[UUID], actor: Actor) -> int:
    """Put waiting jobs into this order; return how many stand elsewhere now.

    Jobs that have left the queue, or are not the actor's, are skipped, and those that came
    meanwhile stay where they are.
    """
    return len(arrange(order[:MOST], actor).jobs)
