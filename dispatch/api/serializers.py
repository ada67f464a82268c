"""Servers as the contract emits them (contracts/api.md, v1 and v2 /servers)."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.db.models import Count
from django.utils import timezone

from dispatch.accuracy import errors_of
from dispatch.address import host_and_port
from dispatch.models import Server
from jobs.hours import opening_of, zone_of
from jobs.models import Attempt, Job
from mobilesd.http.times import rfc3339

__all__ = ["emit_server", "emit_servers"]


def emit_server(server: Server) -> dict[str, Any]:
    """Return one server as v1 shows it; its password never leaves."""
    return {
        "alias": server.alias,
        "apiUrl": server.url,
        "app_type": server.app_type,
        "description": server.description,
        "enabled": server.enabled,
        "healthy": server.is_healthy,
    }


def emit_servers(servers: Sequence[Server]) -> list[dict[str, Any]]:
    """Return these servers as v2 shows them, in a fixed number of queries.

    `queue_length` counts the pending jobs that name the server or would be taken by it.
    """
    now = timezone.now()
    errors = errors_of(server.alias for server in servers)
    busy = set(Attempt.objects.open().values_list("server_alias", flat=True))
    named: Counter[str] = Counter()
    free: Counter[str] = Counter()
    waiting = Job.objects.queued().order_by().values_list("target_server_alias", "app_type")
    for alias, app_type, count in waiting.annotate(Count("pk")):
        if alias:
            named[alias] += count
        else:
            free[app_type] += count
    return [
        {
            **emit_server(server),
            "host": host_and_port(server.url)[0],
            "port": host_and_port(server.url)[1],
            "paused": server.paused,
            "health": server.health,
            "health_text": server.health_text,
            "busy": server.alias in busy,
            "queue_length": named[server.alias] + free[server.app_type],
            "loaded_checkpoint": server.loaded_checkpoint or None,
            "forecast_error": _rounded(errors.get(server.alias)),
            "gpu": _gpu(server),
            "companion": _companion(server),
            "wake_mac": server.wake_mac or None,
            "wake_seconds": server.wake_seconds,
            "woken_at": rfc3339(server.woken_at),
            "yield_below_mb": server.yield_below_mb,
            "yields_since": rfc3339(server.yields_since),
            "yield_text": server.yield_text,
            "hours": server.hours,
            "time_zone": zone_of(server.time_zone).key,
            "run_until": rfc3339(server.run_until),
            "opens_at": None
            if opening_of(server).is_open(now)
            else rfc3339(opening_of(server).opens(now)),
            "closes_at": rfc3339(opening_of(server).closes(now)),
        }
        for server in servers
    ]


def _rounded(error: float | None) -> float | None:
    return None if error is None else round(error, 3)


def _companion(server: Server) -> dict[str, Any] | None:
    if not server.companion_text and not server.sealed_companion_token:
        return None
    return {
        "version": server.companion_version or None,
        "ok": server.companion_ok,
        "text": server.companion_text or "It has not been asked yet.",
    }


def _gpu(server: Server) -> dict[str, Any] | None:
    if server.vram_total_mb is None:
        return None
    return {"total_mb": server.vram_total_mb, "free_mb": server.vram_free_mb}
