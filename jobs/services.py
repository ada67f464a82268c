"""What people and programs do with jobs: submit, cancel, delete, retry.

All take the actor and treat what it may not see as absent.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from apikeys.actors import Actor
from jobs import events, inputs, transitions
from jobs.choices import LaneClass, Status
from jobs.models import Idempotency, Job
from jobs.params import Normalised, normalise
from jobs.ports import ports
from mobilesd.errors import Conflict, NotFound, bad_field
from mobilesd.sqlite import write_turn

__all__ = [
    "Order",
    "Submission",
    "cancel",
    "delete",
    "find",
    "retry",
    "submit",
]

MAX_SOURCE = 200
MAX_KEY = 200


@dataclass(frozen=True)
class Order:
    """What somebody wants made; `received` is the request's body, by which repeats are known.

    Empty strings mean "not said": the app type of the named server, else the default one; any
    server; no idempotency.
    """

    generation_params: Mapping[str, Any]
    app_type: str = ""
    target_server_alias: str = ""
    source_info: str = ""
    priority: int = 5
    lane: str = LaneClass.INTERACTIVE
    not_before: datetime | None = None
    deadline: datetime | None = None
    idempotency_key: str = ""
    received: Mapping[str, Any] | None = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Submission:
    """The job that an order became, now or (`created` false) when it was first sent.

    `job` is None if that job was deleted since, and purged after the undo time.
    """

    job: Job | None
    created: bool
    queue_position: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def deleted(self) -> bool:
        """Tell whether the job of an earlier submission was deleted since."""
        return self.job is None or self.job.deleted_at is not None


def find(job_id: UUID, actor: Actor) -> Job:
    """Return a job that this actor may see; raise NotFound (`job_not_found`)."""
    job = Job.objects.visible_to(actor).listed().filter(pk=job_id).first()
    if job is None:
        raise NotFound(
            "There is no such job.",
            error="job_not_found",
            hint="Check the id. A deleted job and a job of somebody else look the same.",
        )
    return job


# --- Submitting ---------------------------------------------------------------------------


def submit(order: Order, actor: Actor) -> Submission:
    """Put a job into the queue: checked, its inputs on disk, in one transaction.

    An idempotency key that was used before gives the job of then. Raises InvalidInput for what
    can't be taken, Conflict for a key that came with another body; nothing is written then.
    """
    body_sha256 = _body_sha256(order) if order.idempotency_key else ""
    if order.idempotency_key:
        _check_key(order.idempotency_key)
        if earlier := _earlier(order, body_sha256, actor):
            return earlier
    app_type = _checked_app_type(order)
    _check_rest(order)
    normalised = normalise(order.generation_params, app_type=app_type)
    warnings = [
        *order.warnings,
        *normalised.warnings,
        *ports.servers.submission_warnings(normalised.params, app_type, order.target_server_alias),
    ]
    taken = inputs.take(normalised.params, actor)
    job = _new_job(order, actor, app_type, normalised, taken.params, warnings)
    try:
        with write_turn(), transaction.atomic():
            job.save(force_insert=True)
            if order.idempotency_key:
                _remember(order.idempotency_key, body_sha256, actor, job)
            inputs.attach(job, taken)
            events.emit_for_job(
                "job.created", job, events.JobCreated(job=str(job.pk), status=job.status)
            )
            transitions.announce_waiting(job)
    except IntegrityError:
        # The same key a moment earlier, from another thread or process: that one has won.
        if order.idempotency_key and (earlier := _earlier(order, body_sha256, actor)):
            return earlier
        raise
    place = Job.objects.place_of(job)
    return Submission(job, created=True, queue_position=place, warnings=tuple(warnings))


def _new_job(
    order: Order,
    actor: Actor,
    app_type: str,
    normalised: Normalised,
    params: dict[str, Any],
    warnings: list[str],
) -> Job:
    now = timezone.now()
    return Job(
        app_type=app_type,
        kind=normalised.kind,
        generation_params=params,
        warnings=warnings,
        target_server_alias=order.target_server_alias,
        priority=order.priority,
        lane_class=order.lane,
        not_before=order.not_before,
        deadline=order.deadline,
        owner_id=actor.user_id,
        api_key_id=actor.key_prefix,
        source_info=order.source_info,
        checkpoint=normalised.checkpoint,
        images_wanted=normalised.images_wanted,
        created_at=now,
        updated_at=now,
    )


def _checked_app_type(order: Order) -> str:
    known = ports.servers.app_types()
    if order.app_type and order.app_type not in known:
        raise bad_field(
            "app_type", f"must be one of {', '.join(known)}, not {order.app_type[:60]!r}."
        )
    alias = order.target_server_alias
    if not alias:
        return order.app_type or settings.DEFAULT_APP_TYPE
    of_server = ports.servers.app_type_of(alias)
    if of_server is None:
        aliases = ", ".join(ports.servers.aliases()) or "none yet"
        raise bad_field(
            "target_server_alias",
            f"names no server: {alias[:80]!r}.",
            f"The servers are: {aliases}. Leave the field out to use any of them.",
        )
    if order.app_type and order.app_type != of_server:
        raise bad_field(
            "target_server_alias",
            f"names a server of type {of_server}, but app_type is {order.app_type}.",
            "Leave app_type out, or name another server.",
        )
    return of_server


def _check_rest(order: Order) -> None:
    if not 1 <= order.priority <= 10:
        raise bad_field("priority", f"must be from 1 (first) to 10, not {order.priority}.")
    if order.lane not in LaneClass.values:
        words = " or ".join(LaneClass.values)
        raise bad_field("lane", f"must be {words}, not {order.lane[:60]!r}.")
    if len(order.source_info) > MAX_SOURCE:
        raise bad_field("source_info", f"is longer than {MAX_SOURCE} characters.")
    if order.deadline is not None:
        if order.deadline <= timezone.now():
            raise bad_field("deadline", "has passed already.", "Send a time in the future.")
        if order.not_before is not None and order.deadline <= order.not_before:
            raise bad_field("deadline", "must be later than not_before.")


def _check_key(key: str) -> None:
    if len(key) > MAX_KEY:
        raise bad_field("idempotency_key", f"is longer than {MAX_KEY} characters.")


# --- The same order again (design §4) -----------------------------------------------------


def _body_sha256(order: Order) -> str:
    received: Any = order.received
    if received is None:
        received = {
            "generation_params": order.generation_params,
            "app_type": order.app_type,
            "target_server_alias": order.target_server_alias,
            "priority": order.priority,
            "lane": order.lane,
        }
    canonical = json.dumps(received, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _remember(key: str, body_sha256: str, actor: Actor, job: Job) -> None:
    Idempotency.objects.create(
        scope=actor.scope, key=key, body_sha256=body_sha256, job=job, at=timezone.now()
    )


def _earlier(order: Order, body_sha256: str, actor: Actor) -> Submission | None:
    row = (
        Idempotency.objects.select_related("job")
        .filter(scope=actor.scope, key=order.idempotency_key)
        .first()
    )
    if row is None:
        return None
    if row.body_sha256 != body_sha256:
        raise Conflict(
            "This idempotency_key came with another request before.",
            error="idempotency_conflict",
            hint="Use a new key for a new request; repeat a key only with the very same body.",
            fields={"idempotency_key": ["was used with another body."]},
            extra={"mobilesd_job_id": str(row.job_id) if row.job_id else None},
        )
    place = None
    if row.job is not None and row.job.status == Status.PENDING and row.job.deleted_at is None:
        place = Job.objects.place_of(row.job)
    return Submission(
        row.job,
        created=False,
        queue_position=place,
        warnings=tuple(row.job.warnings) if row.job else (),
    )


# --- Changing -----------------------------------------------------------------------------


def cancel(job_id: UUID, actor: Actor) -> Job:
    """Cancel a job, final at once; cancelling it twice is no error.

    Raises NotFound, or Conflict for a job that has ended another way (protocol rule 13).
    """
    find(job_id, actor)
    with transaction.atomic():
        transitions.cancel(job_id)
    job = find(job_id, actor)
    if job.status != Status.CANCELLED:
        raise _wrong_state(job, f"The job can't be cancelled: it is {_already(job)}.")
    return job


def delete(job_id: UUID, actor: Actor) -> Job:
    """Hide a job that waits or has ended; it is purged after the undo time (design §5).

    Raises NotFound, or Conflict while it runs.
    """
    job = find(job_id, actor)
    with transaction.atomic():
        now = timezone.now()
        hidden = (
            Job.objects.listed()
            .filter(pk=job_id)
            .exclude(status=Status.PROCESSING)
            .update(deleted_at=now, updated_at=now)
        )
        if hidden:
            events.emit_for_job("job.deleted", job, {"job": str(job_id)})
    if not hidden:
        raise _wrong_state(
            find(job_id, actor), "The job is being made.", "Cancel it first, then delete it."
        )
    job.refresh_from_db()
    return job


def retry(job_id: UUID, actor: Actor) -> Job:
    """Queue a failed or cancelled job again, with the same seed.

    Raises NotFound, or Conflict for a job that waits, runs or is completed.
    """
    find(job_id, actor)
    with transaction.atomic():
        queued = transitions.retry(job_id)
    job = find(job_id, actor)
    if not queued:
        hint = "Submit it again as a new job." if job.status == Status.COMPLETED else ""
        raise _wrong_state(job, f"The job can't be retried: it is {_already(job)}.", hint)
    return job


def _already(job: Job) -> str:
    return f"already {job.status}" if job.is_final else job.status


def _wrong_state(job: Job, message: str, hint: str = "") -> Conflict:
    return Conflict(message, hint=hint, extra={"status": job.status})
