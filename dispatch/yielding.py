"""Giving way: a server takes no new job while somebody else needs its GPU.

Only where its owner has said from how little free memory on (`Server.yield_below_mb`). A picture
that is being made is finished.
"""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from dispatch import wake
from dispatch.dispatchers.base import Dispatcher, Memory
from dispatch.models import Server
from jobs import events
from jobs.models import Attempt

__all__ = ["LOOK_SECONDS", "look", "note", "reason_to_yield"]

LOOK_SECONDS = 10.0


def reason_to_yield(below_mb: int, memory: Memory | None, foreign_work: str) -> str:
    """Return why a server gives way, or ""; pure.

    What the backend itself holds counts as free: it gives it up for the next model.
    """
    if foreign_work:
        return foreign_work
    if memory is not None and memory.available_mb < below_mb:
        return (
            f"Another program uses its GPU: {memory.available_mb} MB are left,"
            f" {below_mb} MB are wanted."
        )
    return ""


def look(server: Server, backend: Dispatcher) -> None:
    """Ask a server that has no work of ours whether others use it, and note the answer."""
    if server.yield_below_mb is None or Attempt.objects.uncleared(server.alias).exists():
        return
    reason = reason_to_yield(server.yield_below_mb, backend.memory(), backend.foreign_work())
    with transaction.atomic():
        # A lane may have begun meanwhile: then what we saw may have been ours.
        if not Attempt.objects.uncleared(server.alias).exists():
            note(server.pk, reason)


def note(server_id: int, reason: str) -> None:
    """Store whether a server gives way, with an event if that changed; call it in a transaction.

    It is looked at again soon: it comes back by itself.
    """
    now = timezone.now()
    rows = Server.objects.filter(pk=server_id)
    if reason:
        rows.update(yield_text=reason[:300], probe_at=now + timedelta(seconds=LOOK_SECONDS))
        # Its owner may have taken the setting back while we looked.
        changed = rows.filter(yields_since__isnull=True, yield_below_mb__isnull=False).update(
            yields_since=now
        )
    else:
        changed = rows.filter(yields_since__isnull=False).update(yields_since=None, yield_text="")
    if changed:
        wake.bump(id=server_id)
        server = rows.get()
        events.emit(
            "server.status",
            events.ServerStatus(alias=server.alias, health=server.health, busy=False),
            public=True,
        )
