"""The rows of servers and jobs as the simulation plays them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import inf
from uuid import UUID

from dispatch.candidates import to_candidate
from dispatch.models import Server, Timing
from dispatch.simulation import Machine, Work
from dispatch.speeds import Speeds, by_checkpoint, filled
from dispatch.states import server_states
from dispatch.work_units import work_units
from jobs.choices import LaneClass, Status
from jobs.hours import Opening, opening_of
from jobs.models import Attempt, Job, JobDependency, QueueSettings, Turn
from jobs.ports import Reason
from jobs.querysets import JobQuerySet

__all__ = ["Running", "first_waiting", "machines", "off", "running", "works"]

# Windows that are looked at ahead: a week of nights.
_WINDOWS = 7
# What a job that runs may still take where nothing at all is known of it.
_UNKNOWN_SECONDS = 10.0
_STAYS = Reason("held", "It waits for something that is not in the queue.")
_COLUMNS = (
    *("app_type", "kind", "checkpoint", "target_server_alias", "avoid_servers", "lane_class"),
    *("priority", "position", "created_at", "not_before", "retry_at", "deadline", "held"),
    *("owner_id", "api_key_id", "generation_params", "loras", "images_wanted", "images_made"),
)


def first_waiting(count: int) -> list[Job]:
    """Return the first jobs of the queue, with what is needed to play them."""
    jobs: JobQuerySet = Job.objects.queued()
    return list(jobs.only(*_COLUMNS)[:count])


# --- Servers ------------------------------------------------------------------------------


def machines(switches: QueueSettings, now: datetime) -> list[Machine]:
    """Return the servers with what is known of their speed.

    What it never ran is told by the others of its app type (`dispatch.speeds`). It is left out if
    nothing is known of these either. One that only a person can let go on has no window.
    """
    rows = list(Server.objects.order_by("alias"))
    timings: dict[int, list[Timing]] = {}
    for timing in Timing.objects.filter(server__in=rows):
        timings.setdefault(timing.server_id, []).append(timing)
    own = {row.pk: _speeds(timings.get(row.pk, ())) for row in rows}
    loads = {row.pk: _loads(timings.get(row.pk, ())) for row in rows}
    found = []
    for row, state in zip(rows, server_states(rows), strict=True):
        others = [r.pk for r in rows if r.pk != row.pk and r.app_type == row.app_type]
        kinds = filled(own[row.pk], [own[pk] for pk in others])
        loading = filled(loads[row.pk], [loads[pk] for pk in others])
        if not kinds:
            continue
        (opens, closes), *later = _windows(row, switches, now) or [(inf, inf)]
        found.append(
            Machine(
                # Its hours are told by its windows.
                state=replace(state, closed=""),
                unit_seconds=by_checkpoint(kinds),
                kind_seconds=kinds,
                load_seconds={name: seconds for (_, name), seconds in loading.items()},
                opens=opens,
                closes=closes,
                later=tuple(later),
                loaded_for=(now - row.loaded_since).total_seconds() if row.loaded_since else inf,
            )
        )
    return found


def _speeds(learned: Iterable[Timing]) -> Speeds:
    return {(t.kind, t.checkpoint): t.unit_seconds for t in learned if t.runs and t.unit_seconds}


def _loads(learned: Iterable[Timing]) -> Speeds:
    return {("", t.checkpoint): t.load_seconds for t in learned if t.loads and t.load_seconds}


def off(machine: Machine) -> str:
    """Return what has to happen before a server takes jobs, or "" if it takes them."""
    state = machine.state
    if state.paused or machine.opens == inf:
        return f"{state.alias} is resumed"
    if not state.healthy:
        return f"{state.alias} is back"
    return f"nobody else uses {state.alias}" if state.yields else ""


def _windows(server: Server, switches: QueueSettings, now: datetime) -> list[tuple[float, float]]:
    """Return from when to when jobs may start, in seconds from now: the next windows."""
    both = (opening_of(server), opening_of(switches))
    found: list[tuple[float, float]] = []
    moment: datetime | None = now
    while len(found) < _WINDOWS and moment is not None:
        opens = _both_open(both, moment)
        if opens is None:
            break
        ends = [end for opening in both if (end := opening.closes(opens)) is not None]
        moment = min(ends, default=None)
        closes = inf if moment is None else (moment - now).total_seconds()
        found.append(((opens - now).total_seconds(), closes))
    return found


def _both_open(both: Iterable[Opening], moment: datetime) -> datetime | None:
    """Return the first moment at which both are open; None if there is none soon."""
    for _ in range(14):
        later = [opening.opens(moment) for opening in both]
        if None in later:
            return None
        latest = max(at for at in later if at is not None)
        if latest == moment:
            return moment
        moment = latest
    return None


# --- What runs ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Running:
    """What is under way: when each job should end (seconds), None where that can't be told.

    `rests`: what is left of jobs that give way after their round; `free` is the end of that round.
    """

    ends: Mapping[UUID, float | None] = field(default_factory=dict)
    free: Mapping[str, float] = field(default_factory=dict)
    loaded: Mapping[str, str] = field(default_factory=dict)
    rests: Sequence[Work] = ()

    def beside(self, machine: Machine) -> Machine:
        """Return a server as it will be when it is done with what it has."""
        alias = machine.state.alias
        if alias not in self.free:
            return machine
        checkpoint = self.loaded.get(alias, "")
        loaded = machine.name_of(checkpoint, machine.state.loaded)
        loads = bool(checkpoint) and not machine.state.has_loaded(checkpoint)
        return replace(
            machine,
            free_at=self.free[alias],
            state=replace(machine.state, loaded=loaded, free_in=self.free[alias]),
            loaded_for=0.0 if loads else machine.loaded_for,
        )


def running(known: Iterable[Machine], now: datetime, *, rounds: bool = False) -> Running:
    """Return what the servers are doing: by their own word, else by what was expected.

    `rounds`: jobs that are made round by round let others go first between these.
    """
    by_alias = {machine.state.alias: machine for machine in known}
    # Not by the job's status as well, which follows from this: SQLite would walk all jobs for it.
    open_ones = Attempt.objects.open().select_related("job__progress_row").order_by("created_at")
    ends: dict[UUID, float | None] = {}
    free: dict[str, float] = {}
    loaded: dict[str, str] = {}
    rests: list[Work] = []
    for attempt in open_ones:
        alias = attempt.server_alias
        left = _left(attempt, by_alias.get(alias), now, handed_over=alias in free)
        end = free.get(alias, 0.0) + (_UNKNOWN_SECONDS if left is None else left)
        ends[attempt.job_id] = None if left is None else end
        free[alias] = end
        if rounds and left is not None and (later := _later_part(attempt)):
            free[alias] -= _of_later_rounds(attempt, left, later, now)
            rests.append(_rest(attempt, later, now))
        loaded[alias] = attempt.job.checkpoint or loaded.get(alias, "")
    return Running(ends, free, loaded, rests)


def _later_part(attempt: Attempt) -> float:
    """Return which part of a job's pictures later rounds make; 0 if it does not give way."""
    job = attempt.job
    if attempt.images is None or job.lane_class != LaneClass.BACKGROUND:
        return 0.0
    return max(0.0, job.part_left - attempt.images / job.images_wanted)


def _of_later_rounds(attempt: Attempt, left: float, later: float, now: datetime) -> float:
    """Return how much of the time that a job still takes is that of its later rounds."""
    if attempt.expected_seconds is None or attempt.began_at is None:
        return left * later / attempt.job.part_left
    here = attempt.expected_seconds - (now - attempt.began_at).total_seconds()
    return max(0.0, left - max(0.0, here))


def _rest(attempt: Attempt, later: float, now: datetime) -> Work:
    """Return the later rounds as a job that waits at its server, the first of its priority."""
    job = attempt.job
    candidate = replace(
        to_candidate(job, now),
        target=attempt.server_alias,
        not_due="",
        owner=f"{job.scope} goes on",
        turn=-1.0,
    )
    return Work(candidate, work_units(job.generation_params, job.kind) * later, kind=job.kind)


def _left(
    attempt: Attempt, machine: Machine | None, now: datetime, *, handed_over: bool
) -> float | None:
    """Return how long an attempt still takes, once it is its turn; None if nobody knows."""
    progress = getattr(attempt.job, "progress_row", None)
    if (
        progress is not None
        and progress.attempt == attempt.token
        and progress.eta_seconds is not None
    ):
        return max(0.0, float(progress.eta_seconds - (now - progress.updated_at).total_seconds()))
    expected = attempt.expected_seconds
    if expected is not None and attempt.images:  # that of one round
        expected *= attempt.job.part_left * attempt.job.images_wanted / attempt.images
    if expected is None and machine is not None:
        name = machine.name_of(attempt.job.checkpoint, machine.state.loaded)
        job = attempt.job
        units = work_units(job.generation_params, job.kind) * job.part_left
        expected = machine.seconds(name, units, attempt.job.kind)
    if expected is None or handed_over:
        return expected
    began = attempt.began_at or attempt.submitted_at or attempt.created_at
    return max(0.0, expected - (now - began).total_seconds())


# --- What waits ---------------------------------------------------------------------------


def works(
    jobs: Sequence[Job], switches: QueueSettings, now: datetime, under_way: Running
) -> list[Work]:
    """Return jobs as they are played; those that nothing in sight lets begin are held back.

    Hours are those of the machines. An app type that is paused stays paused.
    """
    after, at, stuck = _needs(jobs, under_way)
    turns = {
        (lane_class, scope): moment.timestamp()
        for lane_class, scope, moment in Turn.objects.values_list("lane_class", "scope", "at")
    }
    found = []
    for job in jobs:
        candidate = to_candidate(job, now, turns=turns)
        paused = job.app_type in switches.paused_app_types
        held = job.held or job.pk in stuck
        moments = [moment for moment in (job.not_before, job.retry_at) if moment is not None]
        due = max([at.get(job.pk, 0.0), *((m - now).total_seconds() for m in moments)])
        found.append(
            Work(
                replace(
                    candidate,
                    not_due="",
                    held=f"The queue is paused for {job.app_type} jobs." if paused else "",
                    held_back=_STAYS if held else None,
                ),
                work_units(job.generation_params, job.kind) * job.part_left,
                at=due,
                kind=job.kind,
                after=frozenset(after.get(job.pk, ())),
                until=_until(job, now),
            )
        )
    return found


def _until(job: Job, now: datetime) -> float:
    if job.deadline is None or job.images_made:  # it has begun in time
        return inf
    return (job.deadline - now).total_seconds()


def _needs(
    jobs: Sequence[Job], under_way: Running
) -> tuple[dict[UUID, set[UUID]], dict[UUID, float], set[UUID]]:
    """Return what jobs of chains wait for: jobs that wait too, a moment, or nothing in sight."""
    here = {job.pk for job in jobs}
    after: dict[UUID, set[UUID]] = {}
    at: dict[UUID, float] = {}
    stuck: set[UUID] = set()
    unmet = JobDependency.objects.unmet().filter(job__in=here)
    for job_id, parent, status in unmet.values_list("job", "parent", "parent__status"):
        if status == Status.PENDING and parent in here:
            after.setdefault(job_id, set()).add(parent)
        elif status == Status.PROCESSING and (end := under_way.ends.get(parent)) is not None:
            at[job_id] = max(at.get(job_id, 0.0), end)
        else:
            stuck.add(job_id)
    return after, at, stuck
