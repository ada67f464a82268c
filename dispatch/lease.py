"""The lease by which one lane owns one server (design §6, protocol rules 2 to 5).

Taken by compare-and-set on what was read, renewed by its own thread, and put before every other
write of the lane as the first statement of the same transaction.
"""

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import psutil
from django.conf import settings
from django.db import DatabaseError, Error, connection, connections, transaction
from django.utils import timezone

from dispatch.models import Server, hold_servers
from mobilesd.rows import Reader, param

__all__ = [
    "HEARTBEAT_SECONDS",
    "Lease",
    "LeaseLost",
    "Patience",
    "Sighting",
    "is_fresh",
    "live_count",
    "process_gone",
    "take",
    "this_host",
]

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 2.0
HEARTBEAT_BUSY_MS = 1000

_RENEW = "UPDATE dispatch_server SET heartbeat_at = %s WHERE id = %s AND lane_token = %s"
_HELD = Reader(Server, "WHERE t.lane_token IS NOT NULL")


class LeaseLost(Exception):
    """Somebody else owns the server now: the lane may only drain (protocol rule 12)."""


@lru_cache(maxsize=1)
def _own_start(pid: int) -> float:
    return float(psutil.Process(pid).create_time())


@lru_cache(maxsize=1)
def this_host() -> str:
    """Return where a process id means something: the host and, in a container, its namespace.

    Containers may share the host's name and not its processes: a living lane in one would look
    gone in the other.
    """
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        namespace = ""
    return f"{socket.gethostname()} {namespace}".strip()[:255]


def process_gone(server: Server) -> bool:
    """Tell whether the lease's process surely ended: only its own host can know."""
    if server.lane_host != this_host() or server.lane_pid is None:
        return False
    try:
        process = psutil.Process(server.lane_pid)
        started = process.create_time()
        if process.status() == psutil.STATUS_ZOMBIE:  # killed, and not yet buried by its parent
            return True
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
    return server.lane_started is not None and abs(started - server.lane_started) > 1.0


@dataclass(frozen=True)
class Sighting:
    """A heartbeat value that a watcher has seen unchanged for too long by its own clock."""

    lane_token: uuid.UUID
    heartbeat_at: datetime


def is_fresh(server: Server) -> bool:
    """Tell whether a lane seems to own this server, without a watcher's patience.

    A wall clock is good enough here: this only informs, it never takes a lease over.
    """
    if server.lane_token is None or server.heartbeat_at is None or process_gone(server):
        return False
    age = (timezone.now() - server.heartbeat_at).total_seconds()
    return age < settings.LEASE_STALE_SECONDS


def live_count() -> int:
    """Return the number of leases that lanes hold."""
    return sum(is_fresh(server) for server in _HELD.all())


class Lease:
    """A held lease. `lost` is set as soon as any write finds that it is not ours any more."""

    def __init__(self, server_id: int, token: uuid.UUID) -> None:
        self.server_id = server_id
        self.token = token
        self.lost = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def renew(self) -> bool:
        """Beat once; return whether the lease is still ours. One row, locked by this write."""
        # Plain SQL, because it stands before every other write of a lane.
        with connection.cursor() as cursor:
            values = (timezone.now(), self.server_id, self.token)
            cursor.execute(_RENEW, [param(value) for value in values])
            held = bool(cursor.rowcount == 1)
        if not held:
            self.lost.set()
        return held

    @contextlib.contextmanager
    def fenced(self) -> Iterator[None]:
        """Run a transaction whose first statement proves the lease; raise LeaseLost.

        The UPDATE is fence and heartbeat in one and locks the row, so that no write skew gets
        past it on PostgreSQL (protocol rule 2).
        """
        with transaction.atomic():
            if not self.renew():
                raise LeaseLost
            yield

    def release(self) -> None:
        """Give the lease back; call it inside the transaction that found nothing to do."""
        won = Server.objects.filter(pk=self.server_id, lane_token=self.token).update(
            lane_token=None, lane_host="", lane_pid=None, lane_started=None, heartbeat_at=None
        )
        if not won:
            raise LeaseLost

    def start_heartbeat(self) -> None:
        """Beat from a thread of its own, so that a slow backend never looks like a dead lane."""
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def stop_heartbeat(self) -> None:
        """Stop beating; the lease stays as it is."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _beat(self) -> None:
        try:
            self._shorten_busy_wait()
            while not self._stopped.wait(HEARTBEAT_SECONDS):
                self._beat_once()
        finally:
            connections.close_all()

    def _beat_once(self) -> None:
        for _ in range(3):  # a missed beat is tried again at once
            if self._stopped.is_set():
                return
            try:
                if not self.renew():
                    self._stopped.set()
                return
            except Error as error:
                log.warning("heartbeat of server %s: %s", self.server_id, error)
                connection.close()
                self._shorten_busy_wait()

    @staticmethod
    def _shorten_busy_wait() -> None:
        with contextlib.suppress(DatabaseError):
            if connection.vendor == "sqlite":
                with connection.cursor() as cursor:
                    cursor.execute(f"PRAGMA busy_timeout={HEARTBEAT_BUSY_MS}")


def take(server_id: int, sighting: Sighting | None = None) -> Lease | None:
    """Take a free or stale lease by compare-and-set, or return None (protocol rules 3 to 5).

    Stale is a lease whose process is gone on this host, or one that `sighting` says did not
    move for too long. At most MOBILESD_LANES leases live at a time.
    """
    token = uuid.uuid4()
    with transaction.atomic():
        hold_servers()
        server = Server.objects.filter(pk=server_id).first()
        if server is None:
            return None
        if server.lane_token is not None:
            seen = (server.lane_token, server.heartbeat_at)
            stale = sighting is not None and seen == (sighting.lane_token, sighting.heartbeat_at)
            if not stale and not process_gone(server):
                return None
        others = Server.objects.filter(lane_token__isnull=False).exclude(pk=server_id)
        if sum(is_fresh(other) for other in others) >= settings.LANES:
            return None
        won = Server.objects.filter(
            pk=server_id, lane_token=server.lane_token, heartbeat_at=server.heartbeat_at
        ).update(
            lane_token=token,
            lane_host=this_host(),
            lane_pid=os.getpid(),
            lane_started=_own_start(os.getpid()),
            heartbeat_at=timezone.now(),
        )
    return Lease(server_id, token) if won == 1 else None


class Patience:
    """A watcher's own memory of heartbeats, by its monotonic clock.

    After a suspend or a clock jump every heartbeat looks old by the wall clock; here the
    counting begins when this watcher first saw the value (protocol rule 5).
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Sighting, float]] = {}

    def stale(self, server: Server) -> Sighting | None:
        """Return the sighting if this server's heartbeat did not move for too long."""
        if server.lane_token is None or server.heartbeat_at is None:
            self._seen.pop(server.pk, None)
            return None
        sighting = Sighting(server.lane_token, server.heartbeat_at)
        known = self._seen.get(server.pk)
        if known is None or known[0] != sighting:
            self._seen[server.pk] = (sighting, time.monotonic())
            return None
        waited = time.monotonic() - known[1]
        return sighting if waited >= settings.LEASE_STALE_SECONDS else None
