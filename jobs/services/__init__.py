"""What people and programs do with jobs: submit, cancel, delete, retry.

All take the actor and treat what it may not see as absent.
"""

from jobs.services.changes import cancel, delete, find, retry
from jobs.services.orders import Order, Submission
from jobs.services.submit import submit

__all__ = ["Order", "Submission", "cancel", "delete", "find", "retry", "submit"]
