"""The same order again (design §4)."""

import hashlib
import json
from typing import Any

from django.utils import timezone

from apikeys.actors import Actor
from jobs import journal
from jobs.choices import Status
from jobs.models import Batch, Idempotency, Job
from jobs.services.orders import Order, Submission
from mobilesd.errors import Conflict, bad_field

__all__ = ["check_key", "earlier", "earlier_row", "fingerprint", "remember"]

MAX_KEY = 200


def check_key(key: str) -> None:
    if len(key) > MAX_KEY:
        raise bad_field("idempotency_key", f"is longer than {MAX_KEY} characters.")


def fingerprint(order: Order, *, route: str = "") -> str:
    """Return what a repeat of this order has in common with it, and no other order."""
    received: Any = order.received
    if received is None:
        received = {
            "generation_params": order.generation_params,
            "app_type": order.app_type,
            "target_server_alias": order.target_server_alias,
            "priority": order.priority,
            "lane": order.lane,
        }
    canonical = route + json.dumps(received, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def remember(
    key: str, body_sha256: str, actor: Actor, job: Job | None = None, *, batch: Batch | None = None
) -> None:
    """Tie a key to the job or batch of its order, inside the transaction that inserts it."""
    row = Idempotency.objects.create(
        scope=actor.scope,
        key=key,
        body_sha256=body_sha256,
        job=job,
        batch=batch,
        at=timezone.now(),
    )
    journal.add([{"key": {**journal.record_of(row), "id": None}}])


def earlier_row(key: str, body_sha256: str, actor: Actor) -> Idempotency | None:
    """Return what this key came with before; raise Conflict if that was another order."""
    row = (
        Idempotency.objects.select_related("job", "batch")
        .filter(scope=actor.scope, key=key)
        .first()
    )
    if row is not None and row.body_sha256 != body_sha256:
        raise Conflict(
            "This idempotency_key came with another request before.",
            error="idempotency_conflict",
            hint="Use a new key for a new request; repeat a key only with the very same body.",
            fields={"idempotency_key": ["was used with another body."]},
            extra={"mobilesd_job_id": str(row.job_id) if row.job_id else None},
        )
    return row


def earlier(order: Order, body_sha256: str, actor: Actor) -> Submission | None:
    row = earlier_row(order.idempotency_key, body_sha256, actor)
    if row is None:
        return None
    place = None
    if row.job is not None and row.job.status == Status.PENDING and row.job.deleted_at is None:
        place = Job.objects.place_of(row.job)
    return Submission(
        row.job,
        created=False,
        queue_position=place,
        warnings=tuple(row.job.warnings) if row.job else (),
    )
