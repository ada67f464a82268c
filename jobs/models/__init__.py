"""Jobs, their attempts, their events, and what keeps a submission from being taken twice."""

from jobs.models.attempt import Attempt
from jobs.models.batch import Batch
from jobs.models.dependency import JobDependency, OnFailure
from jobs.models.event import Epoch, Event, LiveEvent
from jobs.models.idempotency import Idempotency
from jobs.models.job import Job, JobInput, JobProgress
from jobs.models.notification import Notice, Notifier
from jobs.models.preset import Preset
from jobs.models.queue import QueueSettings, hold_queue
from jobs.models.retention import Retention
from jobs.models.retry import Retry
from jobs.models.text import JobText
from jobs.models.turn import Turn
from jobs.models.undo import Undo
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
    "JobDependency",
    "JobInput",
    "JobProgress",
    "JobText",
    "LiveEvent",
    "Notice",
    "Notifier",
    "OnFailure",
    "Preset",
    "QueueSettings",
    "Retention",
    "Retry",
    "Turn",
    "Undo",
    "Webhook",
    "hold_queue",
]
