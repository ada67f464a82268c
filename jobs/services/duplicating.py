"""The same order once more, as a job of its own."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from apikeys.actors import Actor
from jobs import inputs
from jobs.models import Job
from jobs.services.changes import Seed, find, input_gone
from jobs.services.orders import Order, Submission
from jobs.services.submit import submit

__all__ = ["duplicate"]


def duplicate(
    job_id: UUID, actor: Actor, *, seed: Seed = "same", idempotency_key: str = ""
) -> Submission:
    """Submit what a job asks for as a new job of this actor, at the end of its priority.

    It waits for no other job, and belongs to no batch. Raises NotFound, Conflict if a picture that
    it was made from is gone, and what `submit` raises.
    """
    job = find(job_id, actor)
    order = Order(
        generation_params=_params(job, seed),
        app_type=job.app_type,
        target_server_alias=job.target_server_alias,
        source_info=job.source_info,
        priority=job.priority,
        lane=job.lane_class,
        not_before=_if_ahead(job.not_before),
        deadline=_if_ahead(job.deadline),
        idempotency_key=idempotency_key,
        # By what was sent, and not by what the job was then: it may have been edited between.
        received={"duplicate": str(job_id), "seed": seed},
    )
    return submit(order, actor)


def _params(job: Job, seed: Seed) -> Mapping[str, Any]:
    try:
        params = inputs.restore(job.generation_params)
    except FileNotFoundError:
        raise input_gone(job.pk, "duplicated") from None
    return {**params, "seed": -1} if seed == "new" else params


def _if_ahead(moment: datetime | None) -> datetime | None:
    """Return a time that has not passed: an order is not taken with one that has."""
    return moment if moment is not None and moment > timezone.now() else None
