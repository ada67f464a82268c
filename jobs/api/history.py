"""What became of a job, over REST."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from jobs import services
from jobs.models import Attempt, Event
from jobs.ports import Differences, ports
from jobs.services.history import attempt_in_words, event_in_words
from jobs.timeline import Step
from mobilesd.http.times import rfc3339
from mobilesd.http.views import ApiView

__all__ = ["HistoryV2"]


class HistoryV2(ApiView):
    """Show the attempts and events of a job, oldest first, and all of it in words: `steps`.

    At most the last 500 of each; `complete` says whether these are all. `differences` names what
    was done otherwise than asked.
    """

    required_scopes = {"GET": "jobs:read"}

    def get(self, request: Request, job_id: UUID) -> Response:
        found = services.history_of(job_id, Actor.of_request(request))
        return Response(
            {
                "success": True,
                "mobilesd_job_id": str(job_id),
                "attempts": [_attempt(row) for row in found.attempts],
                "events": [_event(row) for row in found.events],
                "steps": [_step(step) for step in found.steps()],
                "differences": _differences(ports.differences(found.job, found.attempts)),
                "complete": found.complete,
            }
        )


def _attempt(row: Attempt) -> dict[str, Any]:
    error = None
    if row.error_code:
        error = {"code": row.error_code, "message": row.error_message, "hint": row.error_hint}
    return {
        "attempt": str(row.token),
        "number": row.number,
        "server_alias": row.server_alias,
        "outcome": row.outcome or None,
        "text": attempt_in_words(row),
        "error": error,
        "error_class": row.error_class or None,
        "measures": list(row.measures),
        "expected_seconds": row.expected_seconds,
        "creation_timestamp": rfc3339(row.created_at),
        "submitted_timestamp": rfc3339(row.submitted_at),
        "began_timestamp": rfc3339(row.began_at),
        "first_step_timestamp": rfc3339(row.first_step_at),
        "completion_timestamp": rfc3339(row.ended_at),
        "cleared_timestamp": rfc3339(row.cleared_at),
    }


def _event(row: Event) -> dict[str, Any]:
    return {
        "id": row.pk,
        "type": row.kind,
        "text": event_in_words(row),
        "timestamp": rfc3339(row.at),
        "data": row.payload,
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "timestamp": rfc3339(step.at),
        "text": step.text,
        "detail": step.detail,
        "hint": step.hint,
        "code": step.code or None,
        "tone": step.tone or None,
        "attempt": step.attempt,
        "after_seconds": step.after,
    }


def _differences(found: Differences) -> dict[str, Any]:
    return {"values": [asdict(row) for row in found.rows], "notes": list(found.notes)}
