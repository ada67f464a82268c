"""What this app needs from the apps above it; they fill these in `AppConfig.ready()`.

List calls take many jobs at once, so that a page of jobs costs a fixed number of queries.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args
from uuid import UUID

if TYPE_CHECKING:
    from apikeys.actors import Actor
    from jobs.models import Attempt, Job

__all__ = [
    "BUTTON_KINDS",
    "Button",
    "ButtonKind",
    "Difference",
    "Differences",
    "DifferencesPort",
    "Forecast",
    "ForecastPort",
    "PicturesPort",
    "Plan",
    "PlannedCourse",
    "QueueForecast",
    "Reason",
    "Result",
    "ResultsPort",
    "ServersPort",
    "ports",
]


ButtonKind = Literal[
    "add_server",
    "cancel_dependency",
    "choose_server",
    "drop_loras",
    "edit",
    "edit_hours",
    "edit_server",
    "enable_server",
    "nod",
    "resume_queue",
    "resume_server",
    "show_servers",
    "show_storage",
    "test_server",
    "try_now",
]
BUTTON_KINDS: tuple[ButtonKind, ...] = get_args(ButtonKind)


@dataclass(frozen=True)
class Button:
    """What a person can do about a reason; `kind` says what, `target` with what.

    Targets: an alias (`test_server`, `enable_server`, `edit_server`, `resume_server`), an alias or
    "" for any (`choose_server`), an alias or "" for the queue (`edit_hours`), "" or an app type
    (`resume_queue`), a batch (`nod`), a job (`try_now`; of `cancel_dependency` the one that it
    would wait for no more), names of LoRAs as `Job.loras` (`drop_loras`). The others need none.
    """

    label: str
    kind: ButtonKind
    target: str = ""


_LASTING = frozenset(
    {
        *("paused", "held", "server_offline", "server_removed", "no_server_for_app_type"),
        *("model_missing", "yielding", "storage_low"),
    }
)


@dataclass(frozen=True)
class Reason:
    """Why a pending job is not running: `code` of design §5, a sentence, what would help."""

    code: str
    message: str
    action: str = ""
    buttons: Sequence[Button] = ()

    @property
    def lasts(self) -> bool:
        """Tell whether something has to happen first of which nobody knows when.

        A start that was foretold a moment before is none any more then.
        """
        return self.code in _LASTING


@dataclass(frozen=True)
class Forecast:
    """When a job is expected to start, and how long the running one still takes (seconds)."""

    start: datetime | None = None
    remaining_seconds: float | None = None


@dataclass(frozen=True)
class QueueForecast:
    """What is expected of the queue as a whole, as of `at`; None: it is being worked out.

    `finish` is when the last job should end that can be told of, `not_counted` how many can't be.
    `error` is how far recent forecasts of a job's duration were off, as a part of it (median).
    `fits` jobs should start before the first window `closes`; `fits_at_least`: or more.
    """

    at: datetime | None = None
    finish: datetime | None = None
    not_counted: int | None = None
    error: float | None = None
    closes: datetime | None = None
    fits: int = 0
    fits_at_least: bool = False

    def misses(self, jobs: Iterable["Job"]) -> bool:
        """Tell whether it does not know yet what one of these jobs has become."""
        return self.at is None or any(job.updated_at > self.at for job in jobs)


@dataclass(frozen=True)
class PlannedCourse:
    """What a queue would take in some order; `left` jobs find no server as things stand."""

    loads: int
    seconds: float
    left: int = 0


@dataclass(frozen=True)
class Plan:
    """The queue as it is ordered, and grouped by checkpoint in the order `order`.

    Counted as if what `assumes` names had happened. `jobs` were looked at, `behind` more wait.
    """

    as_ordered: PlannedCourse
    grouped: PlannedCourse
    order: Sequence[UUID]
    assumes: Sequence[str] = ()
    jobs: int = 0
    behind: int = 0


@dataclass(frozen=True)
class Result:
    """The pictures of a finished job, in order."""

    image_ids: Sequence[str] = ()
    file_names: Sequence[str] = ()
    urls: Sequence[str] = ()
    thumbnail_urls: Sequence[str] = ()


@dataclass(frozen=True)
class Difference:
    """One thing that was asked for, and what the picture says instead."""

    name: str
    asked: str
    done: str


@dataclass(frozen=True)
class Differences:
    """Values that differ, and sentences about the rest."""

    rows: Sequence[Difference] = ()
    notes: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.rows or self.notes)


class ServersPort(Protocol):
    def app_types(self) -> Sequence[str]:
        """Return the app types that a dispatcher exists for."""

    def app_type_of(self, alias: str) -> str | None:
        """Return the app type of a server, or None if there is no such alias."""

    def aliases(self) -> Sequence[str]:
        """Return all aliases, for the hint of an error."""

    def endpoints(self) -> Sequence[tuple[str, int]]:
        """Return host and port of each server, also of those that are switched off."""

    def submission_warnings(
        self, params: Mapping[str, Any], app_type: str, alias: str
    ) -> Sequence[str]:
        """Return sentences on what no suitable server has (checkpoint, LoRA) or takes."""

    def checkpoints(self, app_type: str, alias: str) -> Sequence[str]:
        """Return the checkpoints that suitable servers list, each once, in the servers' order."""

    def waiting_reasons(self, jobs: Sequence["Job"]) -> Mapping[UUID, Reason]:
        """Return why each of these pending jobs waits."""

    def measures(self, jobs: Sequence["Job"]) -> Mapping[UUID, Sequence[str]]:
        """Return in short words what the next attempt of each does differently.

        Only of jobs that ran out of memory: "with a tiled VAE".
        """

    def paused(self) -> Sequence[str]:
        """Return the aliases of the paused servers."""

    def set_paused(self, alias: str, paused: bool) -> None:
        """Pause a server or let it go on; call it in a transaction.

        Raises mobilesd.errors.NotFound (`server_not_found`).
        """

    def put_back(self, kept: Sequence[Mapping[str, Any]]) -> None:
        """Undo the deletion of a server; call it in a transaction.

        Raises mobilesd.errors.Conflict if another one took its alias or its address.
        """

    def plan(self) -> Plan | None:
        """Return what grouping the queue by checkpoint would save; None if that can't be said."""

    def queue_forecast(self) -> QueueForecast:
        """Return what is expected of the queue as a whole, as of a moment ago, without waiting."""


class ForecastPort(Protocol):
    def __call__(self, jobs: Sequence["Job"]) -> Mapping[UUID, Forecast]:
        """Return what is expected of these jobs; a job without a forecast is left out."""


class ResultsPort(Protocol):
    def __call__(self, jobs: Sequence["Job"]) -> Mapping[UUID, Result]:
        """Return the pictures of these jobs."""


class DifferencesPort(Protocol):
    def __call__(self, job: "Job", attempts: Sequence["Attempt"]) -> Differences:
        """Return what was done otherwise than asked, as the job's pictures tell."""


class PicturesPort(Protocol):
    def __call__(self, reference: Mapping[str, Any], actor: "Actor") -> tuple[bytes, str]:
        """Return bytes and MIME type of `{"image_id": …}` or `{"job": …, "image": n}`.

        Raises mobilesd.errors.InvalidInput if there is no such picture for this actor.
        """


@dataclass
class _Ports:
    servers: ServersPort = field(init=False)
    forecast: ForecastPort = field(init=False)
    results: ResultsPort = field(init=False)
    differences: DifferencesPort = field(init=False)
    picture_bytes: PicturesPort = field(init=False)

    def empty(self) -> list[str]:
        """Return the names of the ports that nobody filled."""
        names = ("servers", "forecast", "results", "differences", "picture_bytes")
        return [name for name in names if not hasattr(self, name)]


ports = _Ports()
