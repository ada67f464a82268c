"""What a client has missed: the rows after the last event that it knows (design §9)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apikeys.actors import Actor
from jobs import events
from jobs.models import Event

__all__ = ["Missed", "Standing", "missed", "standing", "wire"]

MAX_ROWS = 500
MAX_SPAN = 20_000


@dataclass(frozen=True)
class Standing:
    """Where the event stream stands; a page that shows a snapshot names the id it was made at."""

    last_event_id: int
    epoch: str


@dataclass(frozen=True)
class Missed:
    """The messages after an id, up to `last_event_id`; None when there is no way to catch up."""

    messages: Sequence[dict[str, Any]] | None
    last_event_id: int


def standing() -> Standing:
    """Return the newest event's id and the epoch; read it before what the page shows."""
    return Standing(Event.objects.last_id(), events.epoch())


def wire(event_id: int | None, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Return an event as clients get it; short-lived ones have no id."""
    message = {**payload, "type": kind}
    return message if event_id is None else {**message, "id": event_id}


def missed(actor: Actor, after: int) -> Missed:
    """Return what this actor may see after an id, oldest first.

    There is no way to catch up from an id that is beyond the newest, from one whose successors
    were pruned, or over more than MAX_ROWS rows: reading the snapshot again is cheaper then.
    """
    newest = Event.objects.last_id()
    if after == newest:
        return Missed([], newest)
    oldest = Event.objects.order_by("id").values_list("id", flat=True).first() or 0
    if after > newest or after < oldest - 1 or newest - after > MAX_SPAN:
        return Missed(None, newest)
    rows = list(
        Event.objects.visible_to(actor)
        .filter(id__gt=after, id__lte=newest)
        .order_by("id")
        .values_list("id", "kind", "payload")[: MAX_ROWS + 1]
    )
    if len(rows) > MAX_ROWS:
        return Missed(None, newest)
    return Missed([wire(*row) for row in rows], newest)
