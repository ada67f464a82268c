"""Chains as plain functions: submitted, ended, looked at."""

import uuid
from typing import Any

from django.db import transaction
from django.utils import timezone

from apikeys.actors import SYSTEM, Actor
from jobs import transitions
from jobs.choices import Outcome, Status
from jobs.models import Attempt, Job
from jobs.services import Need, Order, submit
from jobs.transitions import Trouble
from tests import factories
from tests.due import due

PARAMS = {"positive_prompt": "a lighthouse", "width": 512, "height": 512, "steps": 4}
TROUBLE = Trouble("boom", "The server could not make it.")


def order(*parents: Job, on_failure: str = "cancel", **fields: Any) -> Order:
    params = {**PARAMS, **fields.pop("params", {})}
    needs = tuple(Need(parent.pk, on_failure) for parent in parents)
    return Order(generation_params=params, depends_on=needs, **fields)


def waiting(*parents: Job, actor: Actor = SYSTEM, **fields: Any) -> Job:
    """Submit a job that depends on these."""
    job = submit(order(*parents, **fields), actor).job
    assert job is not None
    return job


def claim(job: Job) -> Attempt | None:
    with transaction.atomic():
        return transitions.claim(job.pk, server_alias="a", lane=uuid.uuid4())


def start(job: Job) -> Attempt:
    attempt = claim(job)
    assert attempt is not None, "it can't be claimed"
    return attempt


def finish(attempt: Attempt, picture: bytes | None = None) -> None:
    """Complete a claimed job with one picture."""
    with transaction.atomic():
        factories.image(attempt.job, picture, attempt=attempt.token)
        assert transitions.complete(attempt.token, generation_info={}, warnings=[])


def fail(attempt: Attempt) -> None:
    with transaction.atomic():
        ended = transitions.end_attempt(attempt.token, outcome=Outcome.ERROR)
        assert ended is not None and transitions.fail(ended, TROUBLE)


def cancel(job: Job) -> None:
    with transaction.atomic():
        assert transitions.cancel(job.pk)


def is_due(job: Job) -> bool:
    return due(timezone.now()).filter(pk=job.pk).exists()


def status(job: Job) -> str:
    return Job.objects.values_list("status", flat=True).get(pk=job.pk)


def statuses(*jobs: Job) -> list[str]:
    return [status(job) for job in jobs]


PENDING, PROCESSING = Status.PENDING, Status.PROCESSING
COMPLETED, FAILED, CANCELLED = Status.COMPLETED, Status.FAILED, Status.CANCELLED
