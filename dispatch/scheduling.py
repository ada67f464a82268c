"""Which job a server takes next, and why a job waits: pure, without ORM and clock (design §7).

The reason shown to people and the decision come from the same `hindrance`, so they can't differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

from jobs.ports import Reason
from models_catalog.resolve import KnownModel, ModelIndex, model_key

__all__ = [
    "PATIENCE_LOADS",
    "Candidate",
    "Choice",
    "ServerState",
    "choose",
    "hindrance",
    "why_waiting",
]

# A job waits for grouped work at most this many model loads (design §7): nothing starves.
PATIENCE_LOADS = 3
DEFAULT_LOAD_SECONDS = 20.0
# What a job is taken to last while it waits behind others at a server that has its model.
RUN_SECONDS = 10.0


@dataclass(frozen=True)
class Candidate:
    """A pending job, in what matters for the choice; `waited` in seconds.

    `not_due` and `held` are sentences: it is put off, or the queue or its app type is paused.
    """

    id: UUID
    app_type: str
    checkpoint: str = ""
    target: str = ""
    rank: tuple[int, int, int, str] = (0, 5, 0, "")
    waited: float = 0.0
    avoid: frozenset[str] = frozenset()
    not_due: str = ""
    held: str = ""


@dataclass(frozen=True)
class ServerState:
    """A server, in what matters for the choice; `free_in` is seconds until it could begin."""

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


@dataclass(frozen=True)
class Choice:
    """The job to take, or none; `left_to` names jobs that another server will do sooner."""

    candidate: Candidate | None = None
    left_to: Mapping[UUID, str] = field(default_factory=dict)


def _held_back(job: Candidate) -> Reason | None:
    """Return what holds a job back whatever the servers do."""
    if job.held:
        return Reason("paused", job.held, "Resume the queue.")
    return Reason("not_before", job.not_due) if job.not_due else None


def hindrance(job: Candidate, server: ServerState) -> Reason | None:
    """Return what keeps this job from ever starting on this server as things stand, or None."""
    if waiting := _held_back(job):
        return waiting
    if job.target and job.target != server.alias:
        return Reason("server_busy", f"It is meant for {job.target}.")
    if job.app_type != server.app_type:
        return Reason("no_server_for_app_type", f"{server.alias} does not run {job.app_type} jobs.")
    if not server.enabled:
        return Reason(
            "paused", f"{server.alias} is switched off.", "Switch the server on, or choose another."
        )
    if server.paused:
        return Reason("paused", f"{server.alias} is paused.", "Resume the server.")
    if server.alias in job.avoid:
        return Reason(
            "server_busy", f"{server.alias} could not do it; it waits for another server."
        )
    if not server.healthy:
        text = server.health_text or "It does not answer."
        return Reason(
            "server_offline",
            f"{server.alias} is offline. {text}",
            "Start the server, or test the connection.",
        )
    if job.checkpoint and server.checkpoints is not None:
        return _checkpoint_missing(job.checkpoint, server)
    return None


def _checkpoint_missing(checkpoint: str, server: ServerState) -> Reason | None:
    if server.index.find(checkpoint) is not None:
        return None
    several = [model.name for model in server.index.matches(checkpoint)]
    if several:
        return Reason(
            "model_missing",
            f"{server.alias} has several checkpoints called {checkpoint}.",
            f"Choose one of them: {', '.join(several[:3])}.",
        )
    return Reason(
        "model_missing",
        f"{server.alias} does not have the checkpoint {checkpoint}.",
        "Copy the file to the server, or choose another checkpoint.",
    )


def _better_elsewhere(
    job: Candidate, server: ServerState, others: Sequence[ServerState], left_to: Mapping[UUID, str]
) -> ServerState | None:
    """Return the server that has the model loaded and begins before a load here would end.

    Jobs that are left to a server queue up there, each for RUN_SECONDS: else an idle server
    would leave a whole queue to it.
    """
    if server.has_loaded(job.checkpoint):
        return None
    left = list(left_to.values())
    waits = {
        (other.free_in + RUN_SECONDS * left.count(other.alias), other.alias): other
        for other in others
        if other.alias != server.alias
        and other.has_lane
        and hindrance(job, other) is None
        and other.has_loaded(job.checkpoint)
    }
    soonest = min(waits, default=None)
    return waits[soonest] if soonest and soonest[0] < server.load_seconds else None


def choose(
    server: ServerState, candidates: Sequence[Candidate], others: Sequence[ServerState] = ()
) -> Choice:
    """Choose the next job of a server.

    Order: class and priority first, strictly; inside these a job whose checkpoint is loaded goes
    first, but never before one that has waited longer than PATIENCE_LOADS model loads.
    """
    patience = PATIENCE_LOADS * server.load_seconds
    left_to: dict[UUID, str] = {}
    first: Candidate | None = None
    for job in sorted(candidates, key=lambda c: (c.rank, c.id)):
        if first is not None and job.rank[:2] != first.rank[:2]:
            break
        if hindrance(job, server) is not None:
            continue
        impatient = job.waited > patience
        if not impatient and (other := _better_elsewhere(job, server, others, left_to)):
            left_to[job.id] = other.alias
            continue
        first = first or job
        if impatient:
            break
        if server.has_loaded(job.checkpoint):
            return Choice(job, left_to)
    return Choice(first, left_to)


def why_waiting(job: Candidate, servers: Sequence[ServerState]) -> Reason:
    """Return the one reason to show for a pending job: the one nearest to going away."""
    if waiting := _held_back(job):
        return waiting
    if job.target and all(server.alias != job.target for server in servers):
        return Reason(
            "server_removed",
            f"The server {job.target} was removed.",
            "Cancel the job, or add the server again.",
        )
    fitting = [s for s in servers if s.app_type == job.app_type]
    if job.target:
        fitting = [s for s in fitting if s.alias == job.target]
    if not fitting:
        return Reason(
            "no_server_for_app_type",
            f"There is no server for {job.app_type} jobs.",
            "Add a server.",
        )
    found = {server.alias: hindrance(job, server) for server in fitting}
    able = [server for server in fitting if found[server.alias] is None]
    if able:
        if all(not server.has_lane for server in able):
            return Reason(
                "no_free_lane",
                "All lanes are in use by other servers.",
                "Raise MOBILESD_LANES.",
            )
        names = " or ".join(server.alias for server in able[:2])
        return Reason("server_busy", f"It waits for its turn on {names}.")
    nowhere = not any(server.index.matches(job.checkpoint) for server in fitting)
    if len(fitting) > 1 and nowhere and {h.code for h in found.values() if h} == {"model_missing"}:
        return Reason(
            "model_missing",
            f"No server has the checkpoint {job.checkpoint}.",
            "Copy the file to a server, or choose another checkpoint.",
        )
    order = ("server_offline", "model_missing", "paused", "server_busy")
    known = [h for h in found.values() if h is not None]
    return min(known, key=lambda h: order.index(h.code) if h.code in order else len(order))
