"""Putting jobs into the queue."""

from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from apikeys.actors import Actor
from jobs import events, inputs, transitions
from jobs.choices import LaneClass
from jobs.models import Job
from jobs.params import Normalised, normalise
from jobs.ports import ports
from jobs.services import idempotency
from jobs.services.orders import Order, Submission
from mobilesd.errors import bad_field
from mobilesd.sqlite import write_turn

__all__ = ["submit"]

MAX_SOURCE = 200


def submit(order: Order, actor: Actor) -> Submission:
    """Put a job into the queue: checked, its inputs on disk, in one transaction.

    An idempotency key that was used before gives the job of then. Raises InvalidInput for what
    can't be taken, Conflict for a key that came with another body; nothing is written then.
    """
    body_sha256 = idempotency.fingerprint(order) if order.idempotency_key else ""
    if order.idempotency_key:
        idempotency.check_key(order.idempotency_key)
        if earlier := idempotency.earlier(order, body_sha256, actor):
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
                idempotency.remember(order.idempotency_key, body_sha256, actor, job)
            inputs.attach(job, taken)
            events.emit_for_job(
                "job.created", job, events.JobCreated(job=str(job.pk), status=job.status)
            )
            transitions.announce_waiting(job)
    except IntegrityError:
        # The same key a moment earlier, from another thread or process: that one has won.
        if order.idempotency_key and (earlier := idempotency.earlier(order, body_sha256, actor)):
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
