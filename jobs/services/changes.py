"""Finding a job, and changing it."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypedDict, Unpack
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apikeys.actors import Actor
from jobs import again, events, transitions
from jobs.checksums import JOB, of_row
from jobs.choices import Kind, Status
from jobs.inputs import InputGone
from jobs.models import Event, Job, Retry, Undo
from jobs.services import undo
from jobs.services.cancelling import hide
from jobs.services.checks import check_deadline
from jobs.usage import check_quota
from mobilesd.errors import Conflict, NotFound
from mobilesd.rows import Reader
from mobilesd.sqlite import write_turn

__all__ = [
    "NEW_SEEDS",
    "Changed",
    "NewTimes",
    "Seed",
    "cancel",
    "delete",
    "draw_seed",
    "find",
    "find_as_of",
    "input_gone",
    "no_retry",
    "retry",
    "try_now",
    "wrong_state",
]

Seed = Literal["same", "new"]


class NewTimes(TypedDict, total=False):
    """What a retry may change of a job's times; what is left out stays."""

    deadline: datetime | None


NEW_SEEDS = 2**32  # as of those that are drawn at submission

_RETRYABLE = (Status.FAILED, Status.CANCELLED)
_LISTED = Reader(
    Job,
    "WHERE t.id = %s AND t.deleted_at IS NULL",
    f"(SELECT MAX(id) FROM {Event._meta.db_table})",
)


@dataclass(frozen=True)
class Changed:
    """A job as it is now, and by what the change can be taken back; None if nothing changed."""

    job: Job
    undo: Undo | None


def find(job_id: UUID, actor: Actor) -> Job:
    """Return a job that this actor may see; raise NotFound (`job_not_found`)."""
    return find_as_of(job_id, actor)[0]


def find_as_of(job_id: UUID, actor: Actor) -> tuple[Job, int]:
    """Return a job that this actor may see, and the id of the newest event of all (0: none).

    Raises NotFound (`job_not_found`).
    """
    for job, (newest,) in _LISTED.with_more(job_id):
        if actor.may_see(job.owner_id, job.api_key_id):
            return job, newest or 0
    raise NotFound(
        "There is no such job.",
        error="job_not_found",
        hint="Check the id. A deleted job and a job of somebody else look the same.",
    )


def cancel(job_id: UUID, actor: Actor) -> Changed:
    """Cancel a job, final at once; cancelling it twice is no error.

    Raises NotFound, or Conflict for a job that has ended another way (protocol rule 13).
    """
    find(job_id, actor)
    at, taken = timezone.now(), None
    with write_turn(), transaction.atomic():
        if transitions.cancel(job_id, at=at):
            taken = undo.remember(actor, "cancel", undo.state_of("ended", [job_id], at))
    job = find(job_id, actor)
    if taken is None and job.status != Status.CANCELLED:
        raise wrong_state(job, f"The job can't be cancelled: it is {_already(job)}.")
    return Changed(job, taken)


def delete(job_id: UUID, actor: Actor) -> Changed:
    """Hide a job that waits or has ended; it is purged after the undo time (design §5).

    Raises NotFound, or Conflict while it runs.
    """
    find(job_id, actor)
    at, taken = timezone.now(), None
    with write_turn(), transaction.atomic():
        if hide([job_id], at):
            taken = undo.remember(actor, "delete", undo.state_of("deleted", [job_id], at))
    if taken is None:
        raise wrong_state(
            find(job_id, actor), "The job is being made.", "Cancel it first, then delete it."
        )
    return Changed(Job.objects.get(pk=job_id), taken)


def retry(job_id: UUID, actor: Actor, *, seed: Seed = "same", **changes: Unpack[NewTimes]) -> Job:
    """Queue a failed or cancelled job again, with the same seed or a new one.

    Pictures that finished rounds made are kept, and only the others are made; so a new seed is
    refused then.
    A deadline that has passed is dropped; with `deadline` it gets that one, or none. For the quotas
    of a key that is a job more, and its run counts for the key that asked for it. Raises NotFound,
    InvalidInput for the deadline, Conflict for a job that waits, runs or is completed, or that is
    made from a picture which is gone, or QuotaExceeded.
    """
    queued = False
    job = find(job_id, actor)
    if job.status in _RETRYABLE:
        check_deadline(changes.get("deadline"), job.not_before)
        with _all_there(job_id), write_turn(), transaction.atomic():
            check_quota(actor, 1)
            queued = again.retry(job_id, **changes)
            if queued:
                prefix = actor.key_prefix or ""
                Retry.objects.create(job_id=job_id, api_key_prefix=prefix, at=timezone.now())
                if seed == "new":
                    draw_seed(job_id)
    job = find(job_id, actor)
    if not queued:
        raise no_retry(job)
    return job


def no_retry(job: Job) -> Conflict:
    """Return the refusal to retry a job in its state."""
    hint = "Duplicate it instead." if job.status == Status.COMPLETED else ""
    return wrong_state(job, f"The job can't be retried: it is {_already(job)}.", hint)


@contextmanager
def _all_there(job_id: UUID) -> Iterator[None]:
    """Refuse in words what a file is missing for."""
    try:
        yield
    except InputGone:
        raise input_gone(job_id, "retried") from None


def input_gone(job_id: UUID, done: str) -> Conflict:
    """Return the refusal of what needs a picture that retention has deleted."""
    return Conflict(
        f"The job {job_id} can't be {done}: a picture that it is made from is gone.",
        hint="Submit it as a new job, with the picture.",
    )


def try_now(job_id: UUID, actor: Actor) -> Job:
    """Let a job that is put off after an error be tried at once; twice is no error.

    Raises NotFound, or Conflict for a job that does not wait.
    """
    find(job_id, actor)
    with write_turn(), transaction.atomic():
        put_off = Job.objects.queued().filter(pk=job_id, retry_at__isnull=False)
        if put_off.update(retry_at=None, updated_at=timezone.now()):
            job = Job.objects.get(pk=job_id)
            told = events.JobChanged(job=str(job.pk), status=job.status, fields=["retry_at"])
            events.emit_for_job("job.changed", job, told)
            transitions.announce_waiting(job)
    job = find(job_id, actor)
    if job.status != Status.PENDING:
        raise wrong_state(job, f"The job does not wait: it is {job.status}.")
    return job


def draw_seed(job_id: UUID) -> None:
    """Give a job another seed, in the transaction that queues it: its row is locked."""
    job = Job.objects.get(pk=job_id)
    if job.kind == Kind.UPSCALE:
        return  # it has none: the same picture comes out each time
    if job.images_made:
        raise Conflict(
            f"{job.images_made} of its {job.images_wanted} pictures are made with the seed it has.",
            hint="Retry it with the same seed for the others, or duplicate it with a new one.",
            extra={"status": job.status},
        )
    job.generation_params = {**job.generation_params, "seed": secrets.randbelow(NEW_SEEDS)}
    job.checksum = of_row(job, JOB)
    job.save(update_fields=["generation_params", "checksum"])
    fields = ["generation_params"]
    told = events.JobChanged(job=str(job.pk), status=job.status, fields=fields)
    events.emit_for_job("job.changed", job, told)


def _already(job: Job) -> str:
    return f"already {job.status}" if job.is_final else job.status


def wrong_state(job: Job, message: str, hint: str = "") -> Conflict:
    """Return the refusal of something that the job's state does not allow."""
    return Conflict(message, hint=hint, extra={"status": job.status})
