"""What the tests of deliveries share: making events, and reading states."""

from django.db import transaction

from jobs import events
from jobs.models import Delivery, Event


def tell(kind="server.status", **fields):
    """Let something happen; return the event."""
    with transaction.atomic():
        events.emit(kind, fields.pop("payload", {"alias": "a"}), public=True, **fields)
    return Event.objects.latest("id")


def states():
    return list(Delivery.objects.order_by("event_id").values_list("state", flat=True))
