"""Putting jobs into the queue."""

from typing import Any

from django.db import IntegrityError
from django.utils import timezone

from apikeys.actors import Actor
from jobs import events, inputs, transitions, wording
from jobs.checksums import JOB, of_row
from jobs.models import Job, hold_queue
from jobs.params import Normalised, normalise
from jobs.ports import ports
from jobs.services import idempotency
from jobs.services.chains import ties_of
from jobs.services.checks import check_open, check_rest, checked_app_type
from jobs.services.orders import Order, Submission
from jobs.usage import QuotaExceeded, check_quota
from mobilesd.commits import commit_together
from mobilesd.http.request_ids import request_id
from mobilesd.rows import Rows

__all__ = ["new_job", "submit"]


def submit(order: Order, actor: Actor) -> Submission:
    """Put a job into the queue: checked, its inputs on disk, in one transaction.

    An idempotency key that was used before gives the job of then. Raises InvalidInput for what
    can't be taken, Conflict for a key that came with another body or a job to wait for that came
    to nothing, Unavailable while no jobs are taken; nothing is written then.
    """
    body_sha256 = idempotency.fingerprint(order) if order.idempotency_key else ""
    if order.idempotency_key:
        idempotency.check_key(order.idempotency_key)
        if earlier := idempotency.earlier(order, body_sha256, actor):
            return earlier
    check_open()
    app_type = checked_app_type(order, actor)
    check_rest(order)
    normalised = normalise(order.generation_params, app_type=app_type)
    warnings = [
        *order.warnings,
        *normalised.warnings,
        *ports.servers.submission_warnings(normalised.params, app_type, order.target_server_alias),
    ]
    taken = inputs.take(normalised.params, actor)
    ties = ties_of(order.depends_on, inputs.bound_jobs(taken.params), actor)
    job = new_job(order, actor, app_type, normalised, taken.params, warnings)
    # Made before the transaction, as others wait for it.
    job.checksum = of_row(job, JOB)
    row, texts = Rows([job]), wording.texts_of([job])

    def write() -> None:
        check_quota(actor, 1)
        if ties is not None:
            hold_queue(shared=True)
        row.insert()
        if ties is not None:
            ties.tie([job.pk])
        if order.idempotency_key:
            idempotency.remember(order.idempotency_key, body_sha256, actor, job)
        inputs.attach(job, taken)
        events.emit_for_job(
            "job.created", job, events.JobCreated(job=str(job.pk), status=job.status)
        )
        wording.INDEX.add(texts)
        transitions.announce_waiting(job)

    try:
        commit_together(write)
    except (IntegrityError, QuotaExceeded):
        # The same key a moment earlier, from another thread or process: that one has won. It may
        # have used the quota up as well.
        if order.idempotency_key and (earlier := idempotency.earlier(order, body_sha256, actor)):
            return earlier
        raise
    place = Job.objects.place_of(job)
    return Submission(job, created=True, queue_position=place, warnings=tuple(warnings))


def new_job(
    order: Order,
    actor: Actor,
    app_type: str,
    normalised: Normalised,
    params: dict[str, Any],
    warnings: list[str],
) -> Job:
    """Return the job of a checked order, not saved yet."""
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
        request_id=request_id(),
        created_at=now,
        updated_at=now,
    )
