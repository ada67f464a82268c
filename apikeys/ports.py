"""What this app needs from the apps above it; they fill it in `AppConfig.ready()`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from apikeys.models import ApiKey

__all__ = ["JobsByDayPort", "Usage", "UsagePort", "ports"]


@dataclass(frozen=True)
class Usage:
    """What a key used in the last 24 hours.

    `…_free_at` is when a quota that is used up lets the next job pass, if nothing else is done;
    None while it is not used up.
    """

    jobs: int = 0
    gpu_seconds: float = 0.0
    jobs_free_at: datetime | None = None
    gpu_free_at: datetime | None = None


class UsagePort(Protocol):
    def __call__(self, keys: Sequence["ApiKey"]) -> Mapping[str, Usage]:
        """Return what these keys used, by prefix; each of them is in it."""


class JobsByDayPort(Protocol):
    def __call__(self, key: "ApiKey", since: date) -> Mapping[date, int]:
        """Return how many jobs a key made on each day (UTC) from `since` on; no day with 0."""


@dataclass
class _Ports:
    usage: UsagePort = field(init=False)
    jobs_by_day: JobsByDayPort = field(init=False)

    def empty(self) -> list[str]:
        """Return the names of the ports that nobody filled."""
        return [name for name in ("usage", "jobs_by_day") if not hasattr(self, name)]


ports = _Ports()
