"""Which job a server takes next: pure, without ORM and clock (design §7).

The reason shown to people (`dispatch.reasons`) and the decision come from the same `hindrance`,
so they can't differ.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from uuid import UUID

from jobs.ports import Button, ButtonKind, Reason
from models_catalog.resolve import KnownModel, ModelIndex, has_lora, model_key

__all__ = [
    "AGEING_SECONDS",
    "DEFAULT_LOAD_SECONDS",
    "DROP_LORAS",
    "EDIT",
    "PATIENCE_LOADS",
    "RUN_SECONDS",
    "Candidate",
    "Choice",
    "Facts",
    "ServerState",
    "better_elsewhere",
    "choose",
    "held_back",
    "hindrance",
    "lacks_loras",
]

# A job waits for grouped work at most this many model loads (design §7): nothing starves.
PATIENCE_LOADS = 3
# Between owners, a job that waited so long counts as one priority higher: nobody can keep others
# out for ever by calling all that is his urgent.
AGEING_SECONDS = 1800.0
DEFAULT_LOAD_SECONDS = 20.0
# What a job is taken to last while it waits behind others at a server that has its model.
RUN_SECONDS = 10.0

EDIT = Button("Change the job", "edit")
DROP_LORAS: ButtonKind = "drop_loras"


@dataclass(frozen=True)
class Candidate:
    """A pending job, in what matters for the choice; `waited` in seconds.

    `waited` counts from the last model load at the earliest, `queued_for` from when it could first
    have started. `owner` is whose turn it takes, `turn` when that owner's last one was (any rising
    number; 0: never). `not_due`, `held` and `closed` are sentences: it is put off (`backs_off`:
    after an error, not by its owner), the queue or its app type is paused, or the queue is outside
    of its hours. `held_back` is what its own chain or batch says (jobs.chains).
    """

    id: UUID
    app_type: str
    checkpoint: str = ""
    target: str = ""
    rank: tuple[int, int, int, str] = (0, 5, 0, "")
    waited: float = 0.0
    avoid: frozenset[str] = frozenset()
    not_due: str = ""
    backs_off: bool = False
    held: str = ""
    owner: str = ""
    turn: float = 0.0
    held_back: Reason | None = None
    held_app_type: str = ""
    closed: str = ""
    loras: tuple[str, ...] = ()
    queued_for: float = 0.0

    @property
    def order(self) -> tuple[int, int, float, int, UUID]:
        """Return its place: class and priority, whose turn it is, then position and age."""
        lane_class, priority, position, _ = self.rank
        return lane_class, priority, self.turn, position, self.id


@dataclass(frozen=True)
class ServerState:
    """A server, in what matters for the choice; `free_in` is seconds until it could begin.

    `closed` says in words that it is outside of its hours, `yields` that others use it now, and
    `waking` that it was told to wake up. `health` is a word of dispatch.models.Health, `looked_at`
    the time of the next look, `sees_off` what has to end there before anything begins.
    """

    alias: str
    app_type: str
    enabled: bool = True
    paused: bool = False
    healthy: bool = True
    health_text: str = ""
    checkpoints: tuple[KnownModel, ...] | None = None
    loaded: str = ""
    load_seconds: float = DEFAULT_LOAD_SECONDS
    free_in: float = 0.0
    busy: bool = False
    has_lane: bool = True
    known_index: ModelIndex | None = None
    loras: frozenset[str] | None = None
    closed: str = ""
    run_until_over: bool = False
    yields: str = ""
    waking: str = ""
    offline_for: float | None = None
    health: str = ""
    failures: int = 0
    looked_at: str = ""
    sees_off: str = ""

    @cached_property
    def index(self) -> ModelIndex:
        """Return the listed checkpoints by name: hundreds of jobs are looked up in them."""
        return self.known_index or ModelIndex(self.checkpoints or ())

    @cached_property
    def _loaded_model(self) -> KnownModel | None:
        return self.index.find(self.loaded)

    def has_loaded(self, checkpoint: str) -> bool:
        """Tell whether a job with this checkpoint runs without a model load."""
        if not checkpoint:
            return True  # it takes whatever is loaded
        wanted = self.index.find(checkpoint)
        if wanted is None or self._loaded_model is None:
            return wanted is self._loaded_model and model_key(checkpoint) == model_key(self.loaded)
        return wanted.name == self._loaded_model.name

    def lacking(self, loras: Sequence[str]) -> list[str]:
        """Return those of these LoRAs that the server is known not to have."""
        known = self.loras
        return [] if known is None else [name for name in loras if not has_lora(known, name)]


@dataclass(frozen=True)
class Choice:
    """The job to take, or none; `left_to` names jobs that another server will do sooner."""

    candidate: Candidate | None = None
    left_to: Mapping[UUID, str] = field(default_factory=dict)


class Facts:
    """What a choice asks of jobs and servers.

    Whoever makes thousands of choices of the same ones keeps the answers (dispatch.simulation).
    """

    def turn(self, job: Candidate) -> float:
        return job.turn

    def able(self, job: Candidate, server: ServerState, others: Sequence[ServerState] = ()) -> bool:
        return hindrance(job, server, others) is None

    def has_loaded(self, job: Candidate, server: ServerState) -> bool:
        return server.has_loaded(job.checkpoint)

    def free_in(self, server: ServerState) -> float:
        return server.free_in

    def holders(self, job: Candidate, servers: Sequence[ServerState]) -> Iterable[ServerState]:
        """Return those that have a job's checkpoint loaded, could do it, and may begin."""
        return (
            each
            for each in servers
            if each.has_lane and self.able(job, each, servers) and self.has_loaded(job, each)
        )


_PLAIN = Facts()


def held_back(job: Candidate) -> Reason | None:
    """Return what holds a job back whatever the servers do."""
    if job.held_back is not None:
        return job.held_back
    if job.held:
        button = Button("Resume the queue", "resume_queue", job.held_app_type)
        return Reason("paused", job.held, "Resume the queue.", (button,))
    if job.closed:
        hours = Button("Change the hours", "edit_hours")
        return Reason(
            "outside_hours", job.closed, "Wait, or change the hours of the queue.", (hours,)
        )
    if job.not_due:
        now = Button("Try it now", "try_now", str(job.id)) if job.backs_off else EDIT
        return Reason("not_before", job.not_due, buttons=(now,))
    return None


def hindrance(
    job: Candidate, server: ServerState, others: Sequence[ServerState] = ()
) -> Reason | None:
    """Return what keeps this job from ever starting on this server as things stand, or None.

    A LoRA that the server lacks does only if one of the `others` could do the job with it.
    """
    if waiting := held_back(job):
        return waiting
    if job.target and job.target != server.alias:
        return Reason("server_busy", f"It is meant for {job.target}.")
    if job.app_type != server.app_type:
        return Reason("no_server_for_app_type", f"{server.alias} does not run {job.app_type} jobs.")
    if closed := _not_now(server):
        return closed
    if server.alias in job.avoid:
        return Reason(
            "server_busy",
            f"{server.alias} could not do it; it waits for another server.",
            buttons=(Button(f"Use {server.alias} again", "choose_server", server.alias),),
        )
    if not server.healthy:
        return _unwell(server)
    if not _may_have(server, job.checkpoint):
        return _checkpoint_missing(job.checkpoint, server)
    return _loras_missing(job, server, others)


def _may_have(server: ServerState, checkpoint: str) -> bool:
    return not checkpoint or server.checkpoints is None or server.index.find(checkpoint) is not None


def _not_now(server: ServerState) -> Reason | None:
    """Return why a server takes nothing at present because people want it so."""
    resume = (Button(f"Resume {server.alias}", "resume_server", server.alias),)
    if not server.enabled:
        return Reason(
            "paused",
            f"{server.alias} is switched off.",
            "Switch the server on, or choose another.",
            (Button(f"Switch {server.alias} on", "enable_server", server.alias),),
        )
    if server.paused:
        return Reason("paused", f"{server.alias} is paused.", "Resume the server.", resume)
    if server.closed:
        over = server.run_until_over
        hours = (Button("Change the hours", "edit_hours", server.alias),)
        action = "Resume the server." if over else "Wait, or change the server's hours."
        return Reason(
            "outside_hours", f"{server.alias} {server.closed}", action, resume if over else hours
        )
    if server.yields:
        edit = Button(f"Change {server.alias}", "edit_server", server.alias)
        text = f"{server.alias} gives way to others. {server.yields}"
        return Reason("yielding", text, "Wait, or change when it gives way.", (edit,))
    return None


def _unwell(server: ServerState) -> Reason:
    """Return why a server takes nothing that people do want to take something."""
    alias = server.alias
    since = f" for {_in_words(server.offline_for)}" if server.offline_for is not None else ""
    again = f" It is looked at again at {server.looked_at}." if server.looked_at else ""
    buttons = (Button("Test the connection", "test_server", alias),)
    if server.health == "starting":
        return Reason("server_offline", f"{alias} is starting.", "Wait until it is up.", buttons)
    if server.health == "refused":
        said = f"{alias} refuses our sign-in. {server.health_text}".strip()
        action = "Check the user name and password of the server."
        return Reason("server_offline", said, action, buttons)
    if server.health == "unknown":
        said = f"{alias} has not been asked yet how it is."
        return Reason("server_offline", said, "Wait, or test the connection.", buttons)
    if server.health == "aside":
        why = (
            f"{alias} failed {server.failures} times in a row."
            if server.failures > 1
            else f"{alias} is set aside. {server.health_text}".strip()
        )
        action = "Look at the server's console, or test the connection."
        return Reason("server_offline", f"{why}{again}", action, buttons)
    if server.waking:
        return Reason("server_offline", f"{alias} has been offline{since}. {server.waking}")
    return Reason(
        "server_offline",
        f"{alias} has been offline{since}. {server.health_text or 'It does not answer.'}",
        "Start the server, or test the connection.",
        buttons,
    )


def _in_words(seconds: float) -> str:
    """Return a time that has passed, as people say it; it changes once a minute at most."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return "less than a minute"
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"


def _checkpoint_missing(checkpoint: str, server: ServerState) -> Reason:
    several = [model.name for model in server.index.matches(checkpoint)]
    if several:
        return Reason(
            "model_missing",
            f"{server.alias} has several checkpoints called {checkpoint}.",
            f"Choose one of them: {', '.join(several[:3])}.",
            (EDIT,),
        )
    return Reason(
        "model_missing",
        f"{server.alias} does not have the checkpoint {checkpoint}.",
        "Copy the file to the server, or choose another checkpoint.",
        (EDIT,),
    )


def lacks_loras(job: Candidate, server: ServerState, others: Sequence[ServerState]) -> list[str]:
    """Return the job's LoRAs that the server lacks and that one with more of them has.

    Nothing if no other server has more of them: then the job is made without. Whether the other
    one is up now does not matter, as with a checkpoint.
    """
    lacking = server.lacking(job.loras)
    if not lacking:
        return []
    better = [
        other
        for other in others
        if other.alias not in (server.alias, *job.avoid)
        and other.enabled
        and other.app_type == job.app_type
        and other.loras is not None
        and len(other.lacking(job.loras)) < len(lacking)
        and _may_have(other, job.checkpoint)
    ]
    return [name for name in lacking if any(not other.lacking([name]) for other in better)]


def _loras_missing(
    job: Candidate, server: ServerState, others: Sequence[ServerState]
) -> Reason | None:
    names = lacks_loras(job, server, others)
    if not names:
        return None
    what = f"the LoRA {names[0]}" if len(names) == 1 else f"the LoRAs {', '.join(names)}"
    without = Button(
        f"Run without {'it' if len(names) == 1 else 'them'}", DROP_LORAS, ":".join(names)
    )
    return Reason(
        "model_missing",
        f"{server.alias} lacks {what}.",
        "Copy the file to the server, choose another server, or run the job without.",
        (EDIT, without),
    )


def better_elsewhere(
    job: Candidate,
    server: ServerState,
    others: Sequence[ServerState],
    left_to: Mapping[UUID, str],
    facts: Facts,
) -> ServerState | None:
    """Return the server that has the model loaded and begins before a load here would end.

    Jobs that are left to a server queue up there, each for RUN_SECONDS: else an idle server
    would leave a whole queue to it.
    """
    if facts.has_loaded(job, server):
        return None
    left = list(left_to.values())
    waits = {
        (facts.free_in(other) + RUN_SECONDS * left.count(other.alias), other.alias): other
        for other in facts.holders(job, [server, *others])
        if other.alias != server.alias
    }
    soonest = min(waits, default=None)
    return waits[soonest] if soonest and soonest[0] < server.load_seconds else None


def choose(
    server: ServerState,
    candidates: Sequence[Candidate],
    others: Sequence[ServerState] = (),
    *,
    later: float = 0.0,
    at_most: float = inf,
    facts: Facts = _PLAIN,
) -> Choice:
    """Choose the next job of a server.

    Order: class and standing first, strictly (`_standings`); inside these a job whose checkpoint
    is loaded goes first, but never before one that has waited longer than PATIENCE_LOADS model
    loads, nor before one of the same owner with a higher priority; then it goes round between
    owners. `later`: so many seconds have passed since the candidates were looked at; `at_most`:
    nobody has waited longer than this since the last model load.
    """
    patience = PATIENCE_LOADS * server.load_seconds
    able = [job for job in candidates if facts.able(job, server, others)]
    standings = _standings(able, later)

    def level(job: Candidate) -> tuple[int, int]:
        return job.rank[0], standings[job.id]

    def order(job: Candidate) -> tuple[tuple[int, int], float, int, int, UUID]:
        _, priority, position, _ = job.rank
        return level(job), facts.turn(job), priority, position, job.id

    left_to: dict[UUID, str] = {}
    first: Candidate | None = None
    tops: dict[str, int] = {}
    for job in sorted(able, key=order):
        if first is not None and level(job) != level(first):
            break
        impatient = min(job.waited + later, at_most) > patience
        if not impatient and (other := better_elsewhere(job, server, others, left_to, facts)):
            left_to[job.id] = other.alias
            continue
        if tops.setdefault(job.owner, job.rank[1]) != job.rank[1]:
            continue
        first = first or job
        if impatient:
            break
        if facts.has_loaded(job, server):
            return Choice(job, left_to)
    return Choice(first, left_to)


def _standings(jobs: Sequence[Candidate], later: float) -> dict[UUID, int]:
    """Return the priority that each job counts as between owners.

    One that waited is lifted by a step for each AGEING_SECONDS, and lifts those of its owner that
    come before it: what somebody calls more urgent stays before what he calls less urgent.
    """
    aged: dict[tuple[int, str], dict[int, int]] = {}
    for job in jobs:
        lane_class, priority = job.rank[:2]
        levels = aged.setdefault((lane_class, job.owner), {})
        lifted = max(1, priority - int((job.queued_for + later) // AGEING_SECONDS))
        levels[priority] = min(levels.get(priority, priority), lifted)
    for levels in aged.values():
        lowest = max(levels)
        for priority in sorted(levels, reverse=True):
            levels[priority] = lowest = min(lowest, levels[priority])
    return {job.id: aged[job.rank[0], job.owner][job.rank[1]] for job in jobs}
