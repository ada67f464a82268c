"""What people and programs do with jobs: submit, change, cancel, delete, retry, and the queue.

All take the actor and treat what it may not see as absent.
"""

from jobs.services.bulk import (
    BatchStanding,
    BatchSubmission,
    BulkOrder,
    batch_standing,
    cancel_batch,
    find_batch,
    submit_bulk,
)
from jobs.services.changes import cancel, delete, find, find_as_of, retry
from jobs.services.edit import patch
from jobs.services.history import history_of
from jobs.services.orders import Order, Submission
from jobs.services.places import Goal, move
from jobs.services.submit import submit

__all__ = [
    "BatchStanding",
    "BatchSubmission",
    "BulkOrder",
    "Goal",
    "Order",
    "Submission",
    "batch_standing",
    "cancel",
    "cancel_batch",
    "delete",
    "find",
    "find_as_of",
    "find_batch",
    "history_of",
    "move",
    "patch",
    "retry",
    "submit",
    "submit_bulk",
]
