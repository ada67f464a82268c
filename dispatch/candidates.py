"""The bridge from rows to the pure scheduler, and back for the reasons that people read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Avg
from django.utils import timezone

from dispatch import heads, scheduling
from dispatch.inventory import ServerInventory
from dispatch.known import inventories
from dispatch.lease import is_fresh, live_count
from dispatch.models import Server, Timing
from jobs.chains import own_reasons
from jobs.choices import LaneClass, Status
from jobs.hours import opening_of
from jobs.models import Attempt, Job, QueueSettings, Turn
from jobs.ports import Reason
from mobilesd.rows import Reader
from models_catalog.resolve import loras_in_prompt

__all__ = [
    "candidate_levels",
    "candidates_for",
    "has_work",
    "may_start",
    "reasons",
    "server_states",
    "to_candidate",
]


def to_candidate(
    job: Job,
    now: datetime,
    since: datetime | None = None,
    switches: QueueSettings | None = None,
    turns: Mapping[str, float] | None = None,
) -> scheduling.Candidate:
    """Return what the scheduler needs to know of a pending job.

    It counts as waiting from `since` on: the moment from which other models went first. Counted
    from its submission, a long queue would stop being grouped as soon as all of it is old.
    """
    not_due = ""
    if job.not_before and job.not_before > now:
        not_due = f"It starts at {job.not_before:%Y-%m-%d %H:%M} UTC at the earliest."
    elif job.retry_at and job.retry_at > now:
        seconds = int((job.retry_at - now).total_seconds()) + 1
        not_due = f"It is tried again in {seconds} s."
    return scheduling.Candidate(
        id=job.pk,
        app_type=job.app_type,
        checkpoint=job.checkpoint,
        target=job.target_server_alias,
        rank=(
            0 if job.lane_class == LaneClass.INTERACTIVE else 1,
            job.priority,
            job.position,
            job.pk.hex,
        ),
        waited=max(0.0, (now - max(job.created_at, since or job.created_at)).total_seconds()),
        avoid=frozenset(job.avoid_servers),
        not_due=not_due,
        held=_held(job, switches) if switches else "",
        held_app_type="" if switches and switches.paused else job.app_type,
        closed=_closed(switches, now) if switches else "",
        owner=job.scope,
        turn=(turns or {}).get(job.scope, 0.0),
    )


def _closed(switches: QueueSettings, now: datetime) -> str:
    words = opening_of(switches).why_closed(now)
    return f"The queue {words}" if words else ""


def _held(job: Job, switches: QueueSettings) -> str:
    if switches.paused:
        return "The queue is paused: nothing new starts."
    if job.app_type in switches.paused_app_types:
        return f"The queue is paused for {job.app_type} jobs."
    return ""


def candidate_levels(
    server: Server, loaded: str, begins: timedelta = timedelta()
) -> Iterator[list[scheduling.Candidate]]:
    """Yield what this server may choose from, level by level (`dispatch.heads`).

    Nothing if what is chosen would begin outside of the hours of the server or the queue.
    """
    now = timezone.now()
    switches = QueueSettings.current()
    if (
        not may_start(server, switches, now + begins)
        or server.app_type in switches.paused_app_types
    ):
        return
    known = inventories([server.pk]).get(server.pk)
    where = server.app_type, server.alias
    for level in heads.levels(*where):
        names = heads.waiting_models(level, *where)
        lacks, same = _sorted_out(names, known, loaded)
        jobs: dict[UUID, Job] = {}
        for job in heads.heads(level, *where, now, without=lacks):
            jobs[job.pk] = job
        for name in same:
            for job in heads.heads(level, *where, now, checkpoint=name):
                jobs[job.pk] = job
        if jobs:
            turns = (
                _turns(level.lane_class) if len({job.scope for job in jobs.values()}) > 1 else {}
            )
            yield [
                to_candidate(job, now, server.loaded_since, turns=turns) for job in jobs.values()
            ]


def may_start(server: Server, switches: QueueSettings, at: datetime) -> bool:
    """Tell whether anything may start on this server at a moment, as far as people decided."""
    return (
        not switches.paused and opening_of(switches).is_open(at) and opening_of(server).is_open(at)
    )


def _sorted_out(
    names: Iterable[str], known: ServerInventory | None, loaded: str
) -> tuple[list[str], list[str]]:
    """Return the checkpoints that a server can't tell, and the names that mean the loaded one."""
    if known is None:
        return [], [name for name in names if loaded and name == loaded]
    lacks = [name for name in names if known.index.find(name) is None]
    now = known.index.find(loaded) if loaded else None
    same = [name for name in names if name == loaded or (now and known.index.find(name) is now)]
    return lacks, same


def _turns(lane_class: str) -> dict[str, float]:
    """Return when each owner's last turn in a lane class was."""
    rows = Turn.objects.filter(lane_class=lane_class).values_list("scope", "at")
    return {scope: at.timestamp() for scope, at in rows}


def candidates_for(server: Server, loaded: str) -> list[scheduling.Candidate]:
    """Return all that this server may choose from, over all levels."""
    return [job for level in candidate_levels(server, loaded) for job in level]


def has_work(server: Server) -> bool:
    """Tell whether a job waits that this server could do now."""
    [state] = server_states([server], timed=False)
    return any(
        scheduling.hindrance(job, state) is None
        for level in candidate_levels(server, server.loaded_checkpoint)
        for job in level
    )


_BY_ALIAS = Reader(Server, "ORDER BY t.alias")


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
    # A single server is compared with no other: two queries less on the way to its GPU.
    several = len(rows) > 1
    free_in = _free_in(rows) if several else {}
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
        )
        for row in rows
    ]


def _loras(known: ServerInventory | None) -> frozenset[str] | None:
    return known.lora_keys if known is not None else None


def _load_seconds(server_ids: Sequence[int]) -> Mapping[int, float]:
    rows = Timing.objects.filter(server__in=server_ids, loads__gt=0)
    return {
        row["server"]: row["seconds"]
        for row in rows.values("server").annotate(seconds=Avg("load_seconds"))
    }


def _lanes_left() -> bool:
    live = live_count()
    return live < settings.LANES or live < Server.objects.filter(enabled=True).count()


def _free_in(servers: Sequence[Server]) -> dict[str, float]:
    """Return the expected seconds until each busy server is free."""
    now = timezone.now()
    left: dict[str, float] = {}
    running = (
        Attempt.objects.open()
        .filter(
            server_alias__in=[server.alias for server in servers], job__status=Status.PROCESSING
        )
        .values_list(
            "server_alias", "job__progress_row__eta_seconds", "job__progress_row__updated_at"
        )
    )
    for alias, eta, at in running:
        seconds = 10.0 if eta is None else max(0.0, eta - (now - at).total_seconds())
        left[alias] = left.get(alias, 0.0) + seconds
    return left


def reasons(jobs: Sequence[Job]) -> dict[UUID, Reason]:
    """Return why each of these pending jobs waits, from the code that decides it."""
    now = timezone.now()
    states = server_states(timed=False)
    switches = QueueSettings.current()
    own = own_reasons(jobs)
    return {
        job.pk: scheduling.why_waiting(
            replace(
                to_candidate(job, now, switches=switches),
                held_back=own.get(job.pk),
                loras=tuple(loras_in_prompt(job.prompt)),
            ),
            states,
        )
        for job in jobs
    }
