"""Jobs, their attempts, their events, and what keeps a submission from being taken twice."""

from jobs.models.attempt import Attempt
from jobs.models.event import Epoch, Event, LiveEvent
from jobs.models.idempotency import Idempotency
from jobs.models.job import Job, JobInput, JobProgress

__all__ = [
    "Attempt",
    "Epoch",
    "Event",
    "Idempotency",
    "Job",
    "JobInput",
    "JobProgress",
    "LiveEvent",
]
