"""Playing the queue forward: pure, with the scheduler itself or first come, first served."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from uuid import UUID

from dispatch.scheduling import Candidate, ServerState, choose, hindrance

__all__ = ["Course", "Machine", "Step", "Work", "fifo", "play", "policy"]

# As many as a lane looks at for one choice, about (dispatch.heads).
_WINDOW = 40
_SAME_MODEL = 10


@dataclass(frozen=True)
class Work:
    """A job and its size, in steps on a megapixel; it is there from `at` on (seconds)."""

    job: Candidate
    units: float
    at: float = 0.0


@dataclass(frozen=True)
class Machine:
    """A server and what is known of its speed, by checkpoint as it lists them.

    `free_at`, `opens` and `closes` are seconds from now; `loaded_for` since when its checkpoint
    is loaded. Nothing starts on it from `closes` on.
    """

    state: ServerState
    unit_seconds: Mapping[str, float] = field(default_factory=dict)
    load_seconds: Mapping[str, float] = field(default_factory=dict)
    free_at: float = 0.0
    opens: float = 0.0
    closes: float = inf
    loaded_for: float = inf

    def name_of(self, checkpoint: str, loaded: str) -> str:
        """Return the checkpoint that a job runs with here, as the server lists it."""
        known = self.state.index.find(checkpoint) if checkpoint else None
        return known.name if known is not None else checkpoint or loaded

    def seconds(self, name: str, units: float) -> float:
        """Return how long a job of this size takes; like the others here if it never ran one."""
        known = self.unit_seconds
        speed = known.get(name) or (sum(known.values()) / len(known) if known else 0.0)
        return units * speed

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
    """What became of a queue that was played forward; `left` found no server."""

    steps: Sequence[Step] = ()
    left: int = 0

    @property
    def loads(self) -> int:
        return sum(step.loads for step in self.steps)

    @property
    def seconds(self) -> float:
        """Return when the last job would end."""
        return max((step.end for step in self.steps), default=0.0)


Pick = Callable[
    [ServerState, Sequence[Candidate], Sequence[ServerState], float, float], UUID | None
]


def policy(
    server: ServerState,
    jobs: Sequence[Candidate],
    others: Sequence[ServerState],
    later: float,
    at_most: float,
) -> UUID | None:
    """Choose as a lane does."""
    chosen = choose(server, jobs, others, later=later, at_most=at_most).candidate
    return chosen.id if chosen else None


def fifo(
    server: ServerState,
    jobs: Sequence[Candidate],
    others: Sequence[ServerState],
    later: float,
    at_most: float,
) -> UUID | None:
    """Choose the first job that this server can do."""
    for job in sorted(jobs, key=lambda job: job.rank):
        if hindrance(job, server) is None:
            return job.id
    return None


class _Player:
    def __init__(self, machines: Sequence[Machine], works: Iterable[Work], pick: Pick) -> None:
        self.machines = {machine.state.alias: machine for machine in machines}
        self.states = {alias: machine.state for alias, machine in self.machines.items()}
        self.free = {a: max(m.free_at, m.opens) for a, m in self.machines.items()}
        self.loaded_at = {alias: -m.loaded_for for alias, m in self.machines.items()}
        self.works = sorted(works, key=lambda work: work.job.order)
        # Which of them a server can do changes with nothing that is played.
        self.able = {
            (alias, work.job.id)
            for work in self.works
            for alias, state in self.states.items()
            if hindrance(work.job, state) is None
        }
        self.turns: dict[str, float] = {}
        self.several = len({work.job.owner for work in self.works}) > 1
        self.pick = pick
        self.steps: list[Step] = []

    def play(self) -> Course:
        idle: set[str] = set()
        while self.works and len(idle) < len(self.free):
            alias = min((a for a in self.free if a not in idle), key=lambda a: (self.free[a], a))
            now = self.free[alias]
            if now >= self.machines[alias].closes:
                idle.add(alias)
                continue
            work = self._choose(alias, now)
            if work is None:
                self._wait(alias, now, idle)
                continue
            self._run(alias, work, now)
            idle = {a for a in idle if self.free[a] >= self.machines[a].closes}
        return Course(self.steps, len(self.works))

    def _choose(self, alias: str, now: float) -> Work | None:
        near = self._near(alias, now)
        others = [
            replace(state, free_in=max(0.0, self.free[name] - now))
            for name, state in self.states.items()
            if name != alias
        ]
        at_most = now - self.loaded_at[alias]
        jobs = [work.job for work in near]
        chosen = self.pick(self.states[alias], jobs, others, now, at_most)
        return next((work for work in near if work.job.id == chosen), None)

    def _near(self, alias: str, now: float) -> list[Work]:
        """Return the works that a lane would see now."""
        near: list[Work] = []
        same = 0
        seen: dict[str, int] = {}
        for work in self.works:
            if work.at > now or (alias, work.job.id) not in self.able:
                continue
            count = seen[work.job.owner] = seen.get(work.job.owner, 0) + 1
            if count <= _WINDOW:
                near.append(work)
            elif same < _SAME_MODEL and self.states[alias].has_loaded(work.job.checkpoint):
                near.append(work)
                same += 1
            if not self.several and (same >= _SAME_MODEL or count > 5 * _WINDOW):
                break
        if not self.several:
            return near
        turns = self.turns
        return [
            replace(work, job=replace(work.job, turn=turns.get(work.job.owner, work.job.turn)))
            for work in near
        ]

    def _run(self, alias: str, work: Work, now: float) -> None:
        machine, state = self.machines[alias], self.states[alias]
        name = machine.name_of(work.job.checkpoint, state.loaded)
        loads = not state.has_loaded(work.job.checkpoint)
        end = now + (machine.load(name) if loads else 0.0) + machine.seconds(name, work.units)
        if loads:
            self.states[alias] = replace(state, loaded=name)
            self.loaded_at[alias] = now
        waited = now - work.at
        self.steps.append(Step(work.job.id, alias, now, end, loads, waited))
        # Turns are compared only: any number that rises, above all those of the past.
        self.turns[work.job.owner] = 1e12 + len(self.steps)
        self.works = [other for other in self.works if other.job.id != work.job.id]
        self.free[alias] = end

    def _wait(self, alias: str, now: float, idle: set[str]) -> None:
        """Let a server that finds nothing look again when something has changed."""
        coming = [work.at for work in self.works if work.at > now]
        busy = [free for name, free in self.free.items() if name != alias and free > now]
        then = min([*coming, *busy], default=None)
        if then is None:
            idle.add(alias)
        else:
            self.free[alias] = then


def play(machines: Sequence[Machine], works: Iterable[Work], pick: Pick = policy) -> Course:
    """Play a queue forward until it is empty or nothing fits any server."""
    return _Player(machines, works, pick).play()
