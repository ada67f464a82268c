"""From events to deliveries: each event once for each webhook that wants it, crash or not."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from apikeys.actors import Actor
from jobs.models import Delivery, DeliveryState, Event, Webhook
from jobs.webhooks.bodies import bodies_of
from mobilesd.sqlite import write_turn

__all__ = ["ALL_KINDS", "MAX_PENDING", "fan_out"]

ALL_KINDS = "*"
BATCH = 50
# More than this never waits for one address. The other events stay where they are, and get their
# deliveries when there is room: an address that is dead for days does not fill the disk.
MAX_PENDING = 1000
# Events that a webhook does not want are passed over in memory; after so many its position is
# written, so that nobody reads them all again.
_UNWRITTEN = 1000


def fan_out(webhook: Webhook, actor: Actor, *, after: int, newest: int) -> int:
    """Make deliveries of the events in after < id <= newest; return how far it came.

    `after` may be ahead of the webhook's own position by events that it does not want.
    """
    waiting = Delivery.objects.filter(webhook=webhook, state=DeliveryState.PENDING).count()
    limit = min(BATCH, MAX_PENDING - waiting)
    if limit <= 0:
        return after
    events = Event.objects.visible_to(actor).filter(id__gt=after, id__lte=newest)
    if actor.sees_all_jobs:  # to whom an owner's last job is one of many
        events = events.exclude(kind="queue.empty", payload__whole=False)
    if ALL_KINDS not in webhook.events:
        events = events.filter(kind__in=webhook.events)
    found = list(events.order_by("id")[:limit])
    reached = found[-1].pk if len(found) == limit else newest
    if found or reached - webhook.last_event_id > _UNWRITTEN:
        _write(webhook, actor, found, reached)
    return reached


def _write(webhook: Webhook, actor: Actor, found: list[Event], reached: int) -> None:
    bodies = bodies_of(found, actor)
    now = timezone.now()
    deliveries = [
        Delivery(
            pk=number,
            webhook=webhook,
            event_id=event.pk,
            kind=event.kind,
            body=body,
            due_at=now,
            # Each a little later, so that lists by time keep the order.
            created_at=now + timedelta(microseconds=place),
        )
        for place, (number, event, body) in enumerate(bodies)
    ]
    with write_turn(), transaction.atomic():
        # Whoever else was at it, or has switched it off or deleted it, has changed the row.
        moved = Webhook.objects.filter(
            pk=webhook.pk, is_active=True, last_event_id=webhook.last_event_id
        ).update(last_event_id=reached)
        if moved:
            Delivery.objects.bulk_create(deliveries)
