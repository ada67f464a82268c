"""What somebody wants made, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from jobs.choices import LaneClass
from jobs.models import Job, OnFailure

__all__ = ["Need", "Order", "Submission"]


@dataclass(frozen=True)
class Need:
    """A job that an order waits for, and what becomes of it when that comes to nothing."""

    job: UUID
    on_failure: str = OnFailure.CANCEL


@dataclass(frozen=True)
class Order:
    """What somebody wants made; `received` is the request's body, by which repeats are known.

    Empty strings mean "not said": the app type of the named server, else the default one; any
    server; no idempotency.
    """

    generation_params: Mapping[str, Any]
    app_type: str = ""
    target_server_alias: str = ""
    source_info: str = ""
    priority: int = 5
    lane: str = LaneClass.INTERACTIVE
    not_before: datetime | None = None
    deadline: datetime | None = None
    idempotency_key: str = ""
    depends_on: tuple[Need, ...] = ()
    received: Mapping[str, Any] | None = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Submission:
    """The job that an order became, now or (`created` false) when it was first sent.

    `job` is None if that job was deleted since, and purged after the undo time.
    """

    job: Job | None
    created: bool
    queue_position: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def deleted(self) -> bool:
        """Tell whether the job of an earlier submission was deleted since."""
        return self.job is None or self.job.deleted_at is not None
