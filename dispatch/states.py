"""The servers as the scheduler sees them; plain SQL, because a GPU waits for it."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone

from dispatch import scheduling
from dispatch.inventory import ServerInventory
from dispatch.kinds import Kind
from dispatch.known import inventories
from dispatch.lease import is_fresh, live_count
from dispatch.models import Server
from jobs.hours import opening_of
from jobs.models import Attempt, JobProgress
from jobs.models.derived import separated
from jobs.moments import in_words
from mobilesd.rows import Reader, converted

__all__ = ["Rivals", "server_states"]

_BY_ALIAS = Reader(Server, "ORDER BY t.alias")
_RIVALS = Reader(Server, "WHERE t.app_type = %s AND t.enabled AND t.id <> %s ORDER BY t.alias")

# The index `attempt_uncleared` has these alone: they are few, however many jobs there are.
_UNCLEARED = """
    SELECT a.server_alias, a.lane, a.ended_at, p.eta_seconds, p.updated_at
    FROM jobs_attempt a LEFT JOIN jobs_jobprogress p ON p.job_id = a.job_id
    WHERE a.cleared_at IS NULL
"""
_LOADS = """
    SELECT server_id, AVG(load_seconds) FROM dispatch_timing
    WHERE loads > 0 AND server_id IN ({marks}) GROUP BY server_id
"""
_LANES = "SELECT COUNT(lane_token), COUNT(*) FILTER (WHERE enabled) FROM dispatch_server"

_NOBODY = UUID(int=0)


class Rivals:
    """A server, and the others that its jobs may have to be left to; read once, if asked for."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @cached_property
    def states(self) -> list[scheduling.ServerState]:
        """Return the server's own state, and then those of the others."""
        server = self._server
        return server_states([server, *_RIVALS.all(server.app_type, server.pk)])

    def leave(self, job: scheduling.Candidate) -> bool:
        """Tell whether the others leave this job to the server."""
        return not scheduling.lacks_loras(job, self.states[0], self.states[1:])

    def leave_kind(self, kind: Kind) -> bool:
        """Tell whether the server may take jobs of this kind, as far as it has their model."""
        if self._server.alias in kind.avoided:
            return False
        return not kind.loras or self.leave(
            scheduling.Candidate(
                _NOBODY,
                self._server.app_type,
                kind.checkpoint,
                avoid=kind.avoided,
                loras=separated(kind.loras),
            )
        )


def server_states(
    servers: Sequence[Server] | None = None, *, timed: bool = True
) -> list[scheduling.ServerState]:
    """Return all servers as the scheduler sees them, in a fixed number of queries.

    Without `timed` the learned load times are left out: only a choice needs them.
    """
    rows = list(servers if servers is not None else _BY_ALIAS.all())
    ids = [row.pk for row in rows]
    known = inventories(ids)
    loads = _load_seconds(ids) if timed else {}
    # A single server is compared with no other: three queries less on the way to its GPU.
    several = len(rows) > 1
    free_in, leaving = _at_work(rows) if several else ({}, {})
    lanes_left = not several or _lanes_left()
    now = timezone.now()
    return [
        scheduling.ServerState(
            alias=row.alias,
            app_type=row.app_type,
            enabled=row.enabled,
            paused=row.paused,
            healthy=row.is_healthy,
            health_text=row.health_text,
            checkpoints=known[row.pk].checkpoints if row.pk in known else None,
            known_index=known[row.pk].index if row.pk in known else None,
            loaded=row.loaded_checkpoint,
            load_seconds=loads.get(row.pk) or scheduling.DEFAULT_LOAD_SECONDS,
            free_in=free_in.get(row.alias, 0.0),
            busy=row.alias in free_in,
            has_lane=lanes_left or is_fresh(row),
            loras=_loras(known.get(row.pk)),
            closed=opening_of(row).why_closed(now),
            run_until_over=row.run_until is not None and opening_of(row).opens(now) is None,
            yields=row.yield_text or "Somebody uses it." if row.yields_since else "",
            waking=row.wake_text,
            offline_for=(now - row.health_since).total_seconds() if row.health_since else None,
            health=row.health,
            failures=row.failures_in_row,
            looked_at=in_words(row.probe_at, now) if row.probe_at and row.probe_at > now else "",
            sees_off=leaving.get(row.alias, ""),
        )
        for row in rows
    ]


def _loras(known: ServerInventory | None) -> frozenset[str] | None:
    return known.lora_keys if known is not None else None


def _load_seconds(server_ids: Sequence[int]) -> Mapping[int, float]:
    """Return how long a load takes on each of these servers, as far as that is known."""
    if not server_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_LOADS.format(marks=", ".join(["%s"] * len(server_ids))), server_ids)
        return dict(cursor.fetchall())


def _lanes_left() -> bool:
    """Tell whether a lane could start: there are leases left, or no server without one."""
    with connection.cursor() as cursor:
        cursor.execute(_LANES)
        held, enabled = cursor.fetchone()
    most: int = max(settings.LANES, enabled)
    return bool(held < most) or live_count() < most  # who died holds a lease as well


def _at_work(servers: Sequence[Server]) -> tuple[dict[str, float], dict[str, str]]:
    """Return the expected seconds until each busy server is free, and in words which have to be
    rid of an old run before they begin another."""
    now = timezone.now()
    lanes = {server.alias: server.lane_token for server in servers}
    left: dict[str, float] = {}
    leaving: dict[str, str] = {}
    with connection.cursor() as cursor:
        cursor.execute(_UNCLEARED)
        rows = cursor.fetchall()
    attempts = converted(Attempt, ("server_alias", "lane", "ended_at"), (row[:3] for row in rows))
    progress = converted(JobProgress, ("eta_seconds", "updated_at"), (row[3:] for row in rows))
    for (alias, lane, ended_at), (eta, at) in zip(attempts, progress, strict=True):
        if alias not in lanes:
            continue
        if ended_at is not None:
            leaving[alias] = "A cancelled picture has to end there first."
            continue
        seconds = 10.0 if eta is None else max(0.0, eta - (now - at).total_seconds())
        left[alias] = left.get(alias, 0.0) + seconds
        if lane != lanes[alias]:
            stopped = "What it was at when MobileSD stopped has to end there first."
            leaving.setdefault(alias, stopped)
    return left, leaving
