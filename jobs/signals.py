"""How this app wakes the apps above it, which it may not import.

Sent inside the transaction of the change, so that a receiver's own rows commit with it; what a
receiver does to the outside world belongs into its `on_commit`.
"""

from django.dispatch import Signal

__all__ = ["attempt_cancelled", "job_ended", "job_waiting", "job_watched", "queue_resumed"]

# A job became eligible or may become so: app_type, target_server_alias.
job_waiting = Signal()

# Jobs came to an end, whatever end, or were deleted while they waited: job_ids.
job_ended = Signal()

# The queue, or one app type in it, goes on after a pause: app_type, "" for all.
queue_resumed = Signal()

# The open attempt of a cancelled job has to be cleared at its backend: server_alias.
attempt_cancelled = Signal()

# Somebody looks at a running job, so that previews are worth their GPU time: server_alias.
job_watched = Signal()
