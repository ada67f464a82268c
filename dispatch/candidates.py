"""The bridge from rows to the pure scheduler, and back for the reasons that people read."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from uuid import UUID

from django.conf import settings
from django.db.models import Avg
from django.utils import timezone

from dispatch import heads, scheduling
from dispatch.inventory import ServerInventory
from dispatch.known import inventories
from dispatch.lease import is_fresh, live_count
from dispatch.models import Server, Timing
from dispatch.reasons import why_waiting
from jobs.chains import own_reasons
from jobs.choices import LaneClass
from jobs.hours import opening_of
from jobs.models import Attempt, Job, QueueSettings, Turn
from jobs.models.derived import separated
from jobs.moments import in_words
from jobs.ports import Reason
from jobs.readiness import begin_due
from mobilesd.rows import Reader

__all__ = [
    "able_elsewhere",
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
    turns: Mapping[tuple[str, str], float] | None = None,
) -> scheduling.Candidate:
    """Return what the scheduler needs to know of a pending job.

    It counts as waiting from `since` on: the moment from which other models went first. Counted
    from its submission, a long queue would stop being grouped as soon as all of it is old.
    """
    not_due, backs_off = "", False
    if job.not_before and job.not_before > now:
        not_due = f"It starts at {in_words(job.not_before, now)} at the earliest."
    elif job.retry_at and job.retry_at > now:
        seconds = int((job.retry_at - now).total_seconds()) + 1
        not_due, backs_off = f"It is tried again in {seconds} s.", True
    could_start = max(job.created_at, job.not_before or job.created_at)
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
        backs_off=backs_off,
        held=_held(job, switches) if switches else "",
        held_app_type="" if switches and switches.paused else job.app_type,
        closed=_closed(switches, now) if switches else "",
        owner=job.scope,
        turn=(turns or {}).get((job.lane_class, job.scope), 0.0),
        loras=separated(job.loras),
        queued_for=max(0.0, (now - could_start).total_seconds()),
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
    begin_due(now)
    known = inventories([server.pk]).get(server.pk)
    where = server.app_type, server.alias
    turns: dict[tuple[str, str], float] | None = None
    rivals = _Rivals(server)
    for level in heads.levels(*where):
        names = heads.waiting_models(level, *where)
        lacks, same = _sorted_out(names, known, loaded)
        better = rivals.better(heads.waiting_loras(level, *where), names - set(lacks))
        found = list(heads.heads(level, *where, now, without=lacks, better=better))
        for name in same:
            found += heads.heads(level, *where, now, better=better, checkpoint=name)
        jobs = {job.pk: job for job in found}
        if jobs and turns is None:
            turns = _turns()
        level_jobs = [
            to_candidate(job, now, server.loaded_since, turns=turns) for job in jobs.values()
        ]
        if able := [job for job in level_jobs if not job.loras or rivals.leave(job)]:
            yield able


class _Rivals:
    """The other servers that a server may have to leave jobs to, as these name LoRAs; read once,
    and only if any does."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @cached_property
    def _states(self) -> list[scheduling.ServerState]:
        others = Server.objects.filter(enabled=True, app_type=self._server.app_type)
        return server_states([self._server, *others.exclude(pk=self._server.pk)], timed=False)

    def leave(self, job: scheduling.Candidate) -> bool:
        """Tell whether the others leave this job to the server."""
        return not scheduling.lacks_loras(job, self._states[0], self._states[1:])

    def better(self, loras: Collection[str], checkpoints: Collection[str]) -> list[heads.Better]:
        """Return the LoRAs of which others have more, with the checkpoints for which none does."""
        found: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for each in loras:
            wanted = scheduling.Candidate(UUID(int=0), self._server.app_type, loras=separated(each))
            if self.leave(wanted):
                continue
            but = [name for name in checkpoints if self.leave(replace(wanted, checkpoint=name))]
            found[tuple(sorted(but))].append(each)
        return [heads.Better(sorted(sets), but) for but, sets in found.items()]


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


def _turns() -> dict[tuple[str, str], float]:
    """Return when each owner's last turn in each lane class was."""
    rows = Turn.objects.values_list("lane_class", "scope", "at")
    return {(lane_class, scope): at.timestamp() for lane_class, scope, at in rows}


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


def able_elsewhere(job: Job, without: Collection[str]) -> bool:
    """Tell whether a server other than these could do this job, be it once it is up again."""
    now = timezone.now()
    wanted = to_candidate(job, now)
    wanted = replace(wanted, not_due="", avoid=wanted.avoid | set(without))
    states = server_states(timed=False)
    up = [replace(each, healthy=True, paused=False, closed="", yields="") for each in states]
    return any(scheduling.hindrance(wanted, each, up) is None for each in up)


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
    leaving = _leaving(rows) if several else {}
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
    # Not by the job's status as well, which follows from this: SQLite would walk all jobs for it.
    running = (
        Attempt.objects.open()
        .filter(server_alias__in=[server.alias for server in servers])
        .values_list(
            "server_alias", "job__progress_row__eta_seconds", "job__progress_row__updated_at"
        )
    )
    for alias, eta, at in running:
        seconds = 10.0 if eta is None else max(0.0, eta - (now - at).total_seconds())
        left[alias] = left.get(alias, 0.0) + seconds
    return left


def _leaving(servers: Sequence[Server]) -> dict[str, str]:
    """Return in words which servers have to be rid of an old run before they begin another."""
    lanes = {server.alias: server.lane_token for server in servers}
    found: dict[str, str] = {}
    rows = Attempt.objects.filter(server_alias__in=lanes, cleared_at__isnull=True)
    for alias, lane, ended_at in rows.values_list("server_alias", "lane", "ended_at"):
        if ended_at is not None:
            found[alias] = "A cancelled picture has to end there first."
        elif lane != lanes[alias]:
            found.setdefault(alias, "What it was at when MobileSD stopped has to end there first.")
    return found


def reasons(jobs: Sequence[Job]) -> dict[UUID, Reason]:
    """Return why each of these pending jobs waits, from the code that decides it."""
    now = timezone.now()
    states = server_states()
    switches = QueueSettings.current()
    own = own_reasons(jobs, now)
    return {
        job.pk: why_waiting(
            replace(to_candidate(job, now, switches=switches), held_back=own.get(job.pk)), states
        )
        for job in jobs
    }
