"""Putting jobs into the queue."""

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError
from django.utils import timezone

from apikeys.actors import Actor
from jobs import events, inputs, outputs, transitions, wording
from jobs.checksums import JOB, of_row
from jobs.models import Job, hold_queue
from jobs.params import Normalised, normalise
from jobs.ports import ports
from jobs.services import idempotency
from jobs.services.chains import Ties, ties_of
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
    ties = ties_of(order.depends_on, outputs.bound_jobs(taken.params), actor)
    job = new_job(order, actor, app_type, normalised, taken.params, warnings)
    job.checksum = of_row(job, JOB)
    new = _New(actor, job, taken, ties, order.idempotency_key, body_sha256)
    try:
        place = commit_together(_write, new)
    except (IntegrityError, QuotaExceeded):
        # The same key a moment earlier, from another thread or process: that one has won. It may
        # have used the quota up as well.
        if order.idempotency_key and (earlier := idempotency.earlier(order, body_sha256, actor)):
            return earlier
        raise
    return Submission(job, created=True, queue_position=place, warnings=tuple(warnings))


class _New:
    """A job to be written, in the database's own words: others wait for the transaction."""

    def __init__(
        self,
        actor: Actor,
        job: Job,
        taken: inputs.TakenInputs,
        ties: Ties | None,
        key: str,
        body_sha256: str,
    ) -> None:
        self.job = job
        self.texts = wording.texts_of([job])
        self.arrival = events.Arrival(job)
        self._row = Rows([job])
        self._actor, self._taken, self._ties = actor, taken, ties
        self._key, self._body_sha256 = key, body_sha256

    def insert(self) -> None:
        """Insert the job and what belongs to it alone."""
        check_quota(self._actor, 1)
        if self._ties is not None:
            hold_queue(shared=True)
        self._row.insert()
        if self._ties is not None:
            self._ties.tie([self.job.pk])
        if self._key:
            idempotency.remember(self._key, self._body_sha256, self._actor, self.job)
        inputs.attach(self.job, self._taken)


def _write(every: Sequence[_New]) -> list[int]:
    """Write new jobs in one transaction; return their places in the queue."""
    for new in every:  # each counts for the quota of the next one
        new.insert()
    events.emit_arrivals([new.arrival for new in every])
    wording.INDEX.add([text for new in every for text in new.texts])
    jobs = [new.job for new in every]
    transitions.announce_all(jobs)
    return Job.objects.places_of_new(jobs)


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
