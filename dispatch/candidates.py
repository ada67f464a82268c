"""The bridge from rows to the pure scheduler, and back for the reasons that people read."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.utils import timezone

from dispatch import scheduling
from dispatch.heads import Head, heads
from dispatch.inventory import ServerInventory
from dispatch.kinds import Kind, Waiting, kinds_of, waiting_models
from dispatch.known import inventories
from dispatch.levels import Level, levels
from dispatch.models import Server
from dispatch.reasons import why_waiting
from dispatch.states import Rivals, server_states
from jobs.chains import own_reasons
from jobs.choices import LaneClass
from jobs.hours import opening_of
from jobs.models import Job, QueueSettings, Turn
from jobs.models.derived import separated
from jobs.moments import in_words
from jobs.ports import Reason
from jobs.readiness import begin_due
from mobilesd.rows import converted

__all__ = [
    "able_elsewhere",
    "candidate_levels",
    "candidates_for",
    "has_work",
    "may_start",
    "reasons",
    "to_candidate",
]


def to_candidate(
    job: Job | Head,
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


def _held(job: Job | Head, switches: QueueSettings) -> str:
    if switches.paused:
        return "The queue is paused: nothing new starts."
    if job.app_type in switches.paused_app_types:
        return f"The queue is paused for {job.app_type} jobs."
    return ""


def candidate_levels(
    server: Server, loaded: str, begins: timedelta = timedelta(), rivals: Rivals | None = None
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
    rivals = rivals or Rivals(server)
    for level in levels(server.app_type, server.alias):
        waiting, same = _waiting(level, known, loaded, rivals)
        found = heads(level, server.alias, now, waiting, same)
        turns = _turns(level.lane_class, {job.scope for job in found})
        level_jobs = [to_candidate(job, now, server.loaded_since, turns=turns) for job in found]
        if able := [job for job in level_jobs if not job.loras or rivals.leave(job)]:
            yield able


def may_start(server: Server, switches: QueueSettings, at: datetime) -> bool:
    """Tell whether anything may start on this server at a moment, as far as people decided."""
    return (
        not switches.paused and opening_of(switches).is_open(at) and opening_of(server).is_open(at)
    )


def _waiting(
    level: Level, known: ServerInventory | None, loaded: str, rivals: Rivals
) -> tuple[Waiting, list[str]]:
    """Return what waits on a level as a server sees it, and the names of its loaded checkpoint."""
    names, all_names = waiting_models(level)
    lacks, same = _sorted_out(names, known, loaded)
    kinds, all_kinds = kinds_of(level, [name for name in names if name not in lacks])
    able: list[Kind] = []
    left: list[Kind] = []
    for kind in kinds:
        (able if rivals.leave_kind(kind) else left).append(kind)
    return Waiting(sorted(lacks), able, left, all_names and all_kinds), same


def _sorted_out(
    names: Collection[str], known: ServerInventory | None, loaded: str
) -> tuple[set[str], list[str]]:
    """Return the checkpoints that a server lacks, and the names that mean the loaded one."""
    if known is None:
        return set(), [name for name in names if loaded and name == loaded]
    found = {name: known.index.find(name) for name in names if name}
    now = known.index.find(loaded) if loaded else None
    lacks = {name for name, model in found.items() if model is None}
    return lacks, [name for name in found if name == loaded or (now and found[name] is now)]


_TURNS = "SELECT scope, at FROM jobs_turn WHERE lane_class = %s AND scope IN ({marks})"


def _turns(lane_class: str, scopes: Collection[str]) -> dict[tuple[str, str], float]:
    """Return when the last turn of each of these owners in a lane class was."""
    if not scopes:
        return {}
    marks = ", ".join(["%s"] * len(scopes))
    with connection.cursor() as cursor:
        cursor.execute(_TURNS.format(marks=marks), [lane_class, *scopes])
        rows = list(converted(Turn, ("scope", "at"), cursor.fetchall()))
    return {(lane_class, scope): at.timestamp() for scope, at in rows}


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
