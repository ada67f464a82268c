"""Asking a server how it is, and what it has."""

import time
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from dispatch import inventory, standing, wake, yielding
from dispatch.dispatchers.base import BackendError, Dispatcher, NeverReached
from dispatch.dispatchers.registry import dispatcher_for
from dispatch.models import Health, Server

__all__ = ["HealthReport", "check", "refresh"]


@dataclass(frozen=True)
class HealthReport:
    """What a look at a server found; `text` says what is wrong and is empty when all is well."""

    health: str
    text: str
    latency_ms: float


def check(server: Server, *, timeout: float = 5) -> HealthReport:
    """Probe a server through its dispatcher; store health, version and inventory.

    A server that was set aside is healthy again after a good probe, but keeps its count of
    failures: one more sets it aside for longer.
    """
    dispatcher = dispatcher_for(server)
    try:
        began = time.perf_counter()
        probe = dispatcher.probe(timeout)
        latency = (time.perf_counter() - began) * 1000
        with transaction.atomic():
            changed = standing.set_health(server.pk, probe.health, probe.text)
            standing.note_companion(server.pk, probe)
            if changed and probe.health == Health.HEALTHY:
                wake.bump(id=server.pk)
        if probe.health == Health.HEALTHY:
            refresh(server, dispatcher)
            yielding.look(server, dispatcher)
        return HealthReport(probe.health, probe.text, latency)
    finally:
        dispatcher.close()


def refresh(server: Server, dispatcher: Dispatcher) -> bool:
    """Store what the server has now; return whether that changed. A server too busy to tell
    keeps its old lists."""
    try:
        found = dispatcher.inventory()
    except (BackendError, NeverReached):
        return False
    if memory := dispatcher.memory():
        Server.objects.filter(pk=server.pk).update(
            vram_total_mb=memory.total_mb, vram_free_mb=memory.free_mb
        )
    try:
        with transaction.atomic():
            changed = inventory.save(server, found)
            if changed:
                wake.bump(id=server.pk)
    except IntegrityError:  # the server was deleted meanwhile
        return False
    return changed
