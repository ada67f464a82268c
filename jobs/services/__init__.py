"""What people and programs do with jobs: submit, change, cancel, delete, retry, and the queue.

All take the actor and treat what it may not see as absent.
"""

from jobs.services.batches import (
    BatchStanding,
    batch_standing,
    batch_standings,
    cancel_batch,
    find_batch,
    nod,
)
from jobs.services.bulk import (
    BatchSubmission,
    BulkOrder,
    BulkSize,
    expanded,
    size_of,
    submit_bulk,
)
from jobs.services.cancelling import (
    Taken,
    also_taken,
    cancel_all,
    cancel_many,
    clear_finished,
)
from jobs.services.chains import failed_with
from jobs.services.changes import Changed, cancel, delete, find, find_as_of, retry, try_now
from jobs.services.duplicating import duplicate
from jobs.services.edit import leave_out_loras, patch, wait_no_more
from jobs.services.history import history_of
from jobs.services.orders import Need, Order, Submission
from jobs.services.places import Goal, Moved, arrange, move, move_many
from jobs.services.priorities import Prioritised, prioritise_many
from jobs.services.retrying import Retried, retry_batch, retry_together
from jobs.services.submit import submit

__all__ = [
    "BatchStanding",
    "BatchSubmission",
    "BulkOrder",
    "BulkSize",
    "Changed",
    "Goal",
    "Moved",
    "Need",
    "Order",
    "Prioritised",
    "Retried",
    "Submission",
    "Taken",
    "also_taken",
    "arrange",
    "batch_standing",
    "batch_standings",
    "cancel",
    "cancel_all",
    "cancel_batch",
    "cancel_many",
    "clear_finished",
    "delete",
    "duplicate",
    "expanded",
    "failed_with",
    "find",
    "find_as_of",
    "find_batch",
    "history_of",
    "leave_out_loras",
    "move",
    "move_many",
    "nod",
    "patch",
    "prioritise_many",
    "retry",
    "retry_batch",
    "retry_together",
    "size_of",
    "submit",
    "submit_bulk",
    "try_now",
    "wait_no_more",
]
