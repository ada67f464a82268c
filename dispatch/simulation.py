"""Playing the queue forward: pure, with the scheduler itself or first come, first served.

A page waits for this, with hundreds of jobs and dozens of servers. So what nothing that is played
can change is asked once (`_Known`), and jobs that are the same to every server stand in one line,
of which a choice sees the first ones.
"""

from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from math import inf
from uuid import UUID

from dispatch.scheduling import Candidate, Facts, ServerState, choose, hindrance

__all__ = ["Course", "Machine", "Step", "Stop", "Work", "fifo", "play", "policy"]

# Of jobs that are alike, so many are looked at for one choice: more are never left to others.
_ALIKE = 12


@dataclass(frozen=True)
class Work:
    """A job and its size, in steps on a megapixel.

    It is there from `at` on, and after the jobs `after` have ended; not any more from `until` on
    (seconds). `kind` is what it makes: the speeds of kinds have nothing in common.
    """

    job: Candidate
    units: float
    at: float = 0.0
    kind: str = ""
    after: frozenset[UUID] = frozenset()
    until: float = inf


@dataclass(frozen=True)
class Machine:
    """A server and what is known of its speed, by checkpoint as it lists them.

    `free_at`, `opens` and `closes` are seconds from now; `loaded_for` since when its checkpoint
    is loaded. Nothing starts on it from `closes` on, until the next of the windows `later`.
    `kind_seconds` are the unit seconds of a kind of work, by kind and checkpoint ("": whichever).
    """

    state: ServerState
    unit_seconds: Mapping[str, float] = field(default_factory=dict)
    load_seconds: Mapping[str, float] = field(default_factory=dict)
    free_at: float = 0.0
    opens: float = 0.0
    closes: float = inf
    loaded_for: float = inf
    later: tuple[tuple[float, float], ...] = ()
    kind_seconds: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def name_of(self, checkpoint: str, loaded: str) -> str:
        """Return the checkpoint that a job runs with here, as the server lists it."""
        known = self.state.index.find(checkpoint) if checkpoint else None
        return known.name if known is not None else checkpoint or loaded

    def seconds(self, name: str, units: float, kind: str = "") -> float:
        """Return how long a job of this size takes; like the others here if it never ran one."""
        known = self.unit_seconds
        by_kind = self.kind_seconds
        speed = by_kind.get((kind, name)) or by_kind.get((kind, "")) or known.get(name)
        return units * (speed or (sum(known.values()) / len(known) if known else 0.0))

    def load(self, name: str) -> float:
        """Return how long loading a checkpoint takes."""
        return self.load_seconds.get(name) or self.state.load_seconds


@dataclass(frozen=True)
class Step:
    """One job of a played queue: where, and when it would start and end (seconds)."""

    job: UUID
    server: str
    start: float
    end: float
    loads: bool
    waited: float


@dataclass(frozen=True)
class Course:
    """What became of a queue that was played forward.

    `left` found no server, or came too late; `unplayed` were not reached in the time there was.
    """

    steps: Sequence[Step] = ()
    left: int = 0
    unplayed: int = 0

    @property
    def loads(self) -> int:
        return sum(step.loads for step in self.steps)

    @property
    def seconds(self) -> float:
        """Return when the last job would end."""
        return max((step.end for step in self.steps), default=0.0)


Stop = Callable[[], bool]
Pick = Callable[
    [ServerState, Sequence[Candidate], Sequence[ServerState], float, float, Facts], UUID | None
]


def policy(
    server: ServerState,
    jobs: Sequence[Candidate],
    others: Sequence[ServerState],
    later: float,
    at_most: float,
    facts: Facts,
) -> UUID | None:
    """Choose as a lane does."""
    chosen = choose(server, jobs, others, later=later, at_most=at_most, facts=facts).candidate
    return chosen.id if chosen else None


def fifo(
    server: ServerState,
    jobs: Sequence[Candidate],
    others: Sequence[ServerState],
    later: float,
    at_most: float,
    facts: Facts,
) -> UUID | None:
    """Choose the first job that this server can do."""
    able = (job for job in jobs if facts.able(job, server, others))
    first = min(able, key=lambda job: job.rank, default=None)
    return first.id if first else None


# What jobs must share so that every server treats them the same.
_Line = tuple[str, str, str, frozenset[str], tuple[str, ...], bool, str, str, str]


def _line_of(job: Candidate) -> _Line:
    held = job.held_back is not None
    return (
        *(job.app_type, job.checkpoint, job.target, job.avoid, job.loras),
        *(held, job.held, job.closed, job.not_due),
    )


class _Known(Facts):
    """The answers that a played queue gives again and again."""

    def __init__(self, states: dict[str, ServerState], works: Iterable[Work]) -> None:
        self.states = states
        self.lines = {work.job.id: _line_of(work.job) for work in works}
        jobs = {self.lines[work.job.id]: work.job for work in works}
        every = tuple(states.values())
        # Which of them a server can do changes with nothing that is played.
        self.able_lines = {
            alias: {line for line, job in jobs.items() if hindrance(job, state, every) is None}
            for alias, state in states.items()
        }
        self.now = 0.0
        self.free: dict[str, float] = {}
        self.turns: dict[tuple[int, str], float] = {}
        self.gone: set[str] = set()
        self._loaded: dict[str, dict[str, bool]] = {alias: {} for alias in states}
        self._holders: dict[_Line, list[ServerState]] = {}

    def turn(self, job: Candidate) -> float:
        return self.turns.get((job.rank[0], job.owner), job.turn)

    def able(self, job: Candidate, server: ServerState, others: Sequence[ServerState] = ()) -> bool:
        return self.lines[job.id] in self.able_lines[server.alias]

    def has_loaded(self, job: Candidate, server: ServerState) -> bool:
        known = self._loaded[server.alias]
        if job.checkpoint not in known:
            known[job.checkpoint] = server.has_loaded(job.checkpoint)
        return known[job.checkpoint]

    def free_in(self, server: ServerState) -> float:
        return max(0.0, self.free[server.alias] - self.now)

    def holders(self, job: Candidate, servers: Sequence[ServerState]) -> Iterable[ServerState]:
        line = self.lines[job.id]
        if line not in self._holders:
            states = (state for alias, state in self.states.items() if alias not in self.gone)
            self._holders[line] = list(super().holders(job, tuple(states)))
        return self._holders[line]

    def load(self, alias: str, name: str) -> None:
        self.states[alias] = replace(self.states[alias], loaded=name)
        self._loaded[alias] = {}
        self._holders = {}

    def leave(self, alias: str) -> None:
        self.gone.add(alias)
        self._holders = {}


_Owners = dict[str, dict[_Line, list[tuple[int, UUID, Work]]]]


class _Waiting:
    """The jobs of a played queue that are there and not begun, and those that are yet to come."""

    def __init__(self, works: Sequence[Work], known: _Known) -> None:
        self._known = known
        self._classes: dict[int, dict[int, _Owners]] = {}
        self.left = len(works)
        self._in_line: dict[_Line, int] = {}
        self._coming: list[tuple[float, int, UUID, Work]] = []
        self._needs: dict[UUID, set[UUID]] = {}
        self._needed_by: dict[UUID, list[Work]] = {}
        self._at: dict[UUID, float] = {}
        for work in works:
            line = known.lines[work.job.id]
            self._in_line[line] = self._in_line.get(line, 0) + 1
            if work.after:
                self._needs[work.job.id] = set(work.after)
                for parent in work.after:
                    self._needed_by.setdefault(parent, []).append(work)
            else:
                self._coming.append(self._entry(work, work.at))
        heapify(self._coming)
        self.release(0.0)

    def _entry(self, work: Work, at: float) -> tuple[float, int, UUID, Work]:
        self._at[work.job.id] = at
        return at, work.job.rank[2], work.job.id, work

    def release(self, now: float) -> None:
        """Let those stand in line that are there by now."""
        while self._coming and self._coming[0][0] <= now:
            work = heappop(self._coming)[3]
            job = work.job
            owners = self._classes.setdefault(job.rank[0], {}).setdefault(job.rank[1], {})
            lines = owners.setdefault(job.owner, {})
            insort(
                lines.setdefault(self._known.lines[job.id], []),
                (job.rank[2], job.id, work),
                key=lambda one: one[:2],
            )

    def next_arrival(self) -> float | None:
        return self._coming[0][0] if self._coming else None

    def since(self, work: Work) -> float:
        """Return from when on it could have begun."""
        return self._at[work.job.id]

    def any_for(self, alias: str) -> bool:
        """Tell whether a server may still be needed."""
        return any(self._in_line.get(line) for line in self._known.able_lines[alias])

    def near(self, alias: str, now: float) -> Iterator[list[Work]]:
        """Yield what a lane would see, each time with one more class.

        All priorities of a class at once: who waited long counts as more urgent.
        """
        able = self._known.able_lines[alias]
        seen: list[Work] = []
        for lane_class in sorted(self._classes):
            before = len(seen)
            for owners in self._classes[lane_class].values():
                for lines in owners.values():
                    for line, entries in lines.items():
                        if entries and line in able:
                            seen += self._first(line, entries, now)
            if len(seen) > before:
                yield seen

    def _first(
        self, line: _Line, entries: list[tuple[int, UUID, Work]], now: float
    ) -> Iterator[Work]:
        while late := [entry for entry in entries[:_ALIKE] if entry[2].until <= now]:
            for entry in late:  # its deadline has passed: it fails, and so do those that need it
                entries.remove(entry)
                self._in_line[line] -= 1
        return (entry[2] for entry in entries[:_ALIKE])

    def begin(self, work: Work, end: float) -> None:
        """Take a job out; those that wait for it may begin when it ends."""
        job = work.job
        line = self._known.lines[job.id]
        entries = self._classes[job.rank[0]][job.rank[1]][job.owner][line]
        entries.remove((job.rank[2], job.id, work))
        self._in_line[line] -= 1
        self.left -= 1
        for child in self._needed_by.get(job.id, ()):
            needs = self._needs[child.job.id]
            needs.discard(job.id)
            self._at[child.job.id] = max(self._at.get(child.job.id, child.at), end)
            if not needs:
                heappush(self._coming, self._entry(child, self._at[child.job.id]))


class _Player:
    def __init__(self, machines: Sequence[Machine], works: Iterable[Work], pick: Pick) -> None:
        self.machines = {machine.state.alias: machine for machine in machines}
        rows = list(works)
        self.known = _Known({alias: m.state for alias, m in self.machines.items()}, rows)
        self.waiting = _Waiting(rows, self.known)
        self.free = self.known.free
        self.free.update({a: max(m.free_at, m.opens) for a, m in self.machines.items()})
        self.closes = {alias: machine.closes for alias, machine in self.machines.items()}
        self.later = {alias: list(machine.later) for alias, machine in self.machines.items()}
        self.loaded_at = {alias: -m.loaded_for for alias, m in self.machines.items()}
        self.idle: set[str] = set()
        self.pick = pick
        self.steps: list[Step] = []

    def play(self, stop: Stop) -> Course:
        waiting, gone = self.waiting, self.known.gone
        while waiting.left and len(self.idle) + len(gone) < len(self.free):
            if stop():
                return Course(self.steps, 0, waiting.left)
            present = (a for a in self.free if a not in self.idle and a not in gone)
            alias = min(present, key=lambda a: (self.free[a], a))
            self.known.now = now = self.free[alias]
            waiting.release(now)
            if now >= self.closes[alias]:
                self._close(alias)
            elif not waiting.any_for(alias):
                self._leave(alias)
            elif (work := self._choose(alias, now)) is not None:
                self._run(alias, work, now)
            else:
                self._wait(alias, now)
        return Course(self.steps, waiting.left)

    def _close(self, alias: str) -> None:
        if self.later[alias]:
            opens, self.closes[alias] = self.later[alias].pop(0)
            self.free[alias] = max(self.free[alias], opens)
        else:
            self._leave(alias)

    def _leave(self, alias: str) -> None:
        self.known.leave(alias)
        self._look_again()

    def _look_again(self) -> None:
        """Let servers look again that found nothing, and knew of nothing to come."""
        for alias in self.idle:
            self.free[alias] = max(self.free[alias], self.known.now)
        self.idle.clear()

    def _choose(self, alias: str, now: float) -> Work | None:
        """Return the next job of a server; the others are those that hold a job's checkpoint."""
        at_most = now - self.loaded_at[alias]
        for near in self.waiting.near(alias, now):
            jobs = [work.job for work in near]
            chosen = self.pick(self.known.states[alias], jobs, (), now, at_most, self.known)
            if chosen is not None:
                return next(work for work in near if work.job.id == chosen)
        return None

    def _run(self, alias: str, work: Work, now: float) -> None:
        machine, state = self.machines[alias], self.known.states[alias]
        name = machine.name_of(work.job.checkpoint, state.loaded)
        loads = not self.known.has_loaded(work.job, state)
        end = now + (machine.load(name) if loads else 0.0)
        end += machine.seconds(name, work.units, work.kind)
        if loads:
            self.known.load(alias, name)
            self.loaded_at[alias] = now
        waited = now - self.waiting.since(work)
        self.steps.append(Step(work.job.id, alias, now, end, loads, waited))
        # Turns are compared only: any number that rises, above all those of the past.
        self.known.turns[work.job.rank[0], work.job.owner] = 1e12 + len(self.steps)
        self.waiting.begin(work, end)
        self.free[alias] = end
        self._look_again()

    def _wait(self, alias: str, now: float) -> None:
        """Let a server that finds nothing look again when something has changed."""
        busy = [free for name, free in self.free.items() if name != alias and free > now]
        coming = self.waiting.next_arrival()
        then = min([*busy, *([] if coming is None else [coming])], default=None)
        if then is None:
            self.idle.add(alias)
        else:
            self.free[alias] = then


def _never() -> bool:
    return False


def play(
    machines: Sequence[Machine],
    works: Iterable[Work],
    pick: Pick = policy,
    stop: Stop = _never,
) -> Course:
    """Play a queue forward until it is empty, nothing fits any server, or `stop` says so."""
    return _Player(machines, works, pick).play(stop)
