"""What django-q2 runs for this app: thin, by id, safe to lose and to run twice."""

import logging
from datetime import datetime
from uuid import UUID

from dispatch import health, lease, waking
from dispatch.lanes.lane import Lane
from dispatch.lanes.pace import default_pace
from dispatch.models import Server
from dispatch.stopping import drain_requested, stop_requested

__all__ = ["probe_server", "run_lane", "wake_server"]

log = logging.getLogger(__name__)


def run_lane(server_id: int, stale_token: str = "", stale_heartbeat: str = "") -> str:
    """Take the server's lease and drive it; return at once if a lane lives there.

    The two stale arguments are what a watcher saw unchanged for too long.
    """
    if stop_requested() or drain_requested():
        return "stopping"
    sighting = None
    if stale_token:
        sighting = lease.Sighting(UUID(stale_token), datetime.fromisoformat(stale_heartbeat))
    held = lease.take(server_id, sighting)
    if held is None:
        return "lease held"
    Lane(held, default_pace()).live()
    return "done"


def probe_server(server_id: int) -> str:
    """Ask a server how it is."""
    server = Server.objects.filter(pk=server_id).first()
    if server is None:
        return "removed"
    return health.check(server).health


def wake_server(server_id: int) -> str:
    """Wake a server that jobs wait for."""
    server = Server.objects.filter(pk=server_id).first()
    if server is None:
        return "removed"
    return waking.wake(server) or "woken"
