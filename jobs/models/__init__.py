"""Jobs, their attempts, their events, and what keeps a submission from being taken twice."""

from jobs.models.attempt import Attempt
from jobs.models.batch import Batch
from jobs.models.event import Epoch, Event, LiveEvent
from jobs.models.idempotency import Idempotency
from jobs.models.job import Job, JobInput, JobProgress
from jobs.models.queue import QueueSettings, hold_queue
from jobs.models.retry import Retry
from jobs.models.text import JobText
from jobs.models.webhook import Delivery, DeliveryState, Webhook

__all__ = [
    "Attempt",
    "Batch",
    "Delivery",
    "DeliveryState",
    "Epoch",
    "Event",
    "Idempotency",
    "Job",
    "JobInput",
    "JobProgress",
    "JobText",
    "LiveEvent",
    "QueueSettings",
    "Retry",
    "Webhook",
    "hold_queue",
]
