"""From events to notices: each event once for each notifier that wants it, crash or not."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from apikeys.actors import Actor
from jobs.hours import parse, zone_of
from jobs.models import Event, Notice, Notifier
from jobs.notifications.words import messages_of
from mobilesd.sqlite import write_turn

__all__ = ["actor_of", "due_after_quiet", "fan_out"]

BATCH = 100
_EVENTS = ("job.status", "job.stalled", "server.status", "data.trouble")


def actor_of(notifier: Notifier) -> Actor | None:
    """Return as whom a notifier looks at events, or None while it may see nothing."""
    owner = notifier.owner
    if owner is None and notifier.owner_id is None:
        return Actor(sees_all_jobs=True)
    return Actor.of_user(owner) if owner is not None and owner.is_active else None


def due_after_quiet(notifier: Notifier, at: datetime) -> datetime:
    """Return when a message of this moment is sent: at once, or when the quiet hours are over."""
    hours, zone = parse(notifier.quiet_hours), zone_of(notifier.time_zone)
    if not notifier.quiet_hours or not hours.is_open(at, zone):
        return at
    return hours.next_change(at, zone) or at  # quiet for ever would be never


def fan_out(notifier: Notifier, actor: Actor) -> bool:
    """Make notices of the next events; return whether there may be more."""
    newest = Event.objects.last_id()
    if notifier.last_event_id >= newest:
        return False
    events = Event.objects.visible_to(actor).filter(
        pk__gt=notifier.last_event_id, pk__lte=newest, kind__in=_EVENTS
    )
    found = list(events.order_by("pk")[:BATCH])
    reached = found[-1].pk if len(found) == BATCH else newest
    now = timezone.now()
    due = due_after_quiet(notifier, now)
    rows = [
        Notice(
            notifier=notifier,
            event_id=event.pk,
            kind=message.kind,
            title=message.title[:200],
            text=message.text[:2000],
            due_at=due,
        )
        for event in found
        for message in messages_of(event, actor, own=_is_own(event, notifier))
        if message.kind in notifier.kinds
    ]
    with write_turn(), transaction.atomic():
        # Whoever else was at it, or has switched it off or deleted it, has changed the row.
        moved = Notifier.objects.filter(
            pk=notifier.pk, is_active=True, last_event_id=notifier.last_event_id
        ).update(last_event_id=reached)
        if moved:
            Notice.objects.bulk_create(rows)
    notifier.last_event_id = reached
    return bool(moved) and reached < newest


def _is_own(event: Event, notifier: Notifier) -> bool:
    """Tell whether its owner wants to hear of this: staff see all jobs, and are told of theirs."""
    return notifier.owner_id is None or event.owner_id in (notifier.owner_id, None)
