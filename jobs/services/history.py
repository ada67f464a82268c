"""What became of a job, step by step."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from apikeys.actors import Actor
from apikeys.origin import address_of
from jobs.models import Attempt, Event, Job
from jobs.services.changes import find
from jobs.sources import in_words
from jobs.timeline import Origin, Step, attempt_in_words, event_in_words, timeline

__all__ = ["History", "attempt_in_words", "event_in_words", "history_of"]

MAX_ROWS = 500


@dataclass(frozen=True)
class History:
    """The attempts and events of a job, oldest first; `complete` false: older ones are left out."""

    job: Job
    attempts: Sequence[Attempt]
    events: Sequence[Event]
    complete: bool

    def steps(self) -> Sequence[Step]:
        """Return all that happened, in words."""
        return timeline(self.job, self.attempts, self.events, _origin(self.job))


def history_of(job_id: UUID, actor: Actor) -> History:
    """Return the last attempts and events of a job, MAX_ROWS of each; raise NotFound.

    A server that is down for days may have been tried thousands of times.
    """
    job = find(job_id, actor)
    attempts = list(job.attempts.order_by("-number")[: MAX_ROWS + 1])
    rows = list(job.events.order_by("-id")[: MAX_ROWS + 1])
    return History(
        job=job,
        attempts=attempts[:MAX_ROWS][::-1],
        events=rows[:MAX_ROWS][::-1],
        complete=len(attempts) <= MAX_ROWS and len(rows) <= MAX_ROWS,
    )


def _origin(job: Job) -> Origin:
    key = job.api_key
    return Origin(
        owner=job.owner.get_username() if job.owner else "",
        key=f"“{key.name}” ({key.prefix})" if key else "",
        source=in_words(job.source_info),
        address=address_of(job.request_id, job.created_at),
    )
