"""Jobs as they were emitted a moment ago, for programs that ask again and again.

What a job shows depends on other rows than its own: its place on the jobs ahead of it, why it waits
on the servers. Whatever changes any of them leaves an event, or is no more than FRESH_SECONDS late
here (a clock that makes a job due, a server's list of models).
"""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from apikeys.actors import Actor
from jobs import services
from jobs.api.serializers import emit_job
from jobs.api.waiting import etag_of_job
from jobs.choices import Status
from jobs.models import Job

__all__ = ["Shown", "shown"]

FRESH_SECONDS = 1.0
MOST = 128  # one may hold a quarter of a megabyte of parameters


@dataclass(frozen=True, slots=True)
class Shown:
    """A job as emitted, and its ETag. Nobody may change `emitted`: others are given it too."""

    emitted: dict[str, Any]
    etag: str
    as_of: tuple[int, datetime]  # the newest event then, and the job's own last change
    at: float = field(default_factory=time.monotonic)


_shown: dict[UUID, Shown] = {}


def shown(job_id: UUID, actor: Actor) -> tuple[Job, Shown]:
    """Return a job that this actor may see, and what to show of it; raise NotFound."""
    job, newest_event = services.find_as_of(job_id, actor)
    as_of = (newest_event, job.updated_at)
    known = _shown.get(job_id)
    if known is not None and known.as_of == as_of and time.monotonic() - known.at < FRESH_SECONDS:
        return job, known
    emitted = emit_job(job)
    seen = Shown(emitted, etag_of_job(emitted), as_of)
    if job.status != Status.PROCESSING:  # its progress leaves no lasting event
        if len(_shown) >= MOST:
            _shown.clear()
        _shown[job_id] = seen
    return job, seen
