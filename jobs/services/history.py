"""What became of a job, step by step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from apikeys.actors import Actor
from jobs.choices import Outcome, Status
from jobs.models import Attempt, Event
from jobs.services.changes import find

__all__ = ["History", "attempt_in_words", "event_in_words", "history_of"]

MAX_ROWS = 500


@dataclass(frozen=True)
class History:
    """The attempts and events of a job, oldest first; `complete` false: older ones are left out."""

    attempts: Sequence[Attempt]
    events: Sequence[Event]
    complete: bool


def history_of(job_id: UUID, actor: Actor) -> History:
    """Return the last attempts and events of a job, MAX_ROWS of each; raise NotFound.

    A server that is down for days may have been tried thousands of times.
    """
    job = find(job_id, actor)
    attempts = list(job.attempts.order_by("-number")[: MAX_ROWS + 1])
    rows = list(job.events.order_by("-id")[: MAX_ROWS + 1])
    return History(
        attempts=attempts[:MAX_ROWS][::-1],
        events=rows[:MAX_ROWS][::-1],
        complete=len(attempts) <= MAX_ROWS and len(rows) <= MAX_ROWS,
    )


def attempt_in_words(attempt: Attempt) -> str:
    """Return what came of an attempt, as a sentence."""
    if attempt.outcome:
        text = Outcome(attempt.outcome).label
        left = " The server may still be at it." if attempt.cleared_at is None else ""
        return f"{text}.{left}"
    return "Running." if attempt.submitted_at else "About to be sent."


def event_in_words(event: Event) -> str:
    """Return what happened, as a sentence."""
    payload: dict[str, Any] = event.payload
    if event.kind == "job.status":
        return _status_in_words(payload)
    if event.kind == "job.changed":
        return f"Changed: {', '.join(payload.get('fields', []))}."
    plain = {
        "job.created": "Submitted.",
        "job.deleted": "Deleted.",
        "image.created": "A picture is stored.",
    }
    return plain.get(event.kind, event.kind)


def _status_in_words(payload: dict[str, Any]) -> str:
    status, server = payload.get("status", ""), payload.get("server_alias")
    error = payload.get("error") or {}
    why = f" {error['message']}" if error.get("message") else ""
    if status == Status.PROCESSING:
        return f"Started on {server}." if server else "Started."
    if status == Status.PENDING:
        return f"Back in the queue.{why}"
    if status == Status.COMPLETED:
        return f"Completed on {server}." if server else "Completed."
    return f"{status.capitalize()}.{why}"
