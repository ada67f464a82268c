"""What a delivery says (docs/api/webhooks.md)."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from apikeys.actors import Actor
from jobs.api.serializers import emit_jobs
from jobs.models import Event, Job
from mobilesd.http.codec import JSONRenderer
from mobilesd.http.times import rfc3339

__all__ = ["TEST_KIND", "bodies_of", "test_body"]

# An infotext and its parameters fit; base64 pictures in script arguments do not, and the receiver
# can ask for the whole job.
MAX_JOB = 16 * 1024
TEST_KIND = "webhook.test"


def bodies_of(events: Sequence[Event], actor: Actor) -> list[tuple[UUID, Event, str]]:
    """Return the id of a delivery, its event and its body for each event, in order.

    Job events carry the job as it is now, which may be further than the event tells.
    """
    jobs = _jobs({event.job_id for event in events if event.job_id is not None}, actor)
    made = []
    for event in events:
        data = dict(event.payload)
        if event.job_id is not None:
            data["job_details"] = jobs.get(event.job_id)
        number = uuid.uuid4()
        made.append((number, event, _body(number, event.kind, event.at, data, event.pk)))
    return made


def test_body(number: UUID, at: datetime) -> str:
    """Return the body of a delivery that only says that it arrives."""
    return _body(number, TEST_KIND, at, {"message": "It works: MobileSD reaches this address."})


def _body(
    number: UUID, kind: str, at: datetime, data: Mapping[str, Any], event_id: int | None = None
) -> str:
    body = {
        "id": str(number),
        "type": kind,
        "created": rfc3339(at),
        "event_id": event_id,
        "data": data,
    }
    return _written(body).decode()


def _written(value: Any) -> bytes:
    return JSONRenderer().render(value)


def _jobs(job_ids: set[UUID], actor: Actor) -> dict[UUID, dict[str, Any]]:
    if not job_ids:
        return {}
    rows = list(Job.objects.visible_to(actor).listed().filter(pk__in=job_ids))
    return {row.pk: _capped(emitted) for row, emitted in zip(rows, emit_jobs(rows), strict=True)}


def _capped(job: dict[str, Any]) -> dict[str, Any]:
    """Leave out what makes a job large, and say so."""
    if len(_written(job)) <= MAX_JOB:
        return job
    short = {**job, "shortened": True, "generation_params": None, "warnings": []}
    result = job.get("result_details")
    if result is not None:
        short["result_details"] = {**result, "generation_info": None, "warnings": [], "info": ""}
    return short
