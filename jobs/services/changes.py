"""Finding a job, and changing it."""

import secrets
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apikeys.actors import Actor
from jobs import events, transitions
from jobs.checksums import JOB, of_row
from jobs.choices import Kind, Status
from jobs.models import Event, Job, Retry, Undo
from jobs.services import undo
from jobs.services.cancelling import hide
from jobs.usage import check_quota
from mobilesd.errors import Conflict, NotFound
from mobilesd.rows import Reader
from mobilesd.sqlite import write_turn

__all__ = [
    "NEW_SEEDS",
    "Changed",
    "Seed",
    "cancel",
    "delete",
    "find",
    "find_as_of",
    "retry",
    "wrong_state",
]

Seed = Literal["same", "new"]
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


def retry(job_id: UUID, actor: Actor, *, seed: Seed = "same") -> Job:
    """Queue a failed or cancelled job again, with the same seed or a new one.

    For the quotas of a key that is a job more, and its run counts for the key that asked for it.
    Raises NotFound, Conflict for a job that waits, runs or is completed, or QuotaExceeded.
    """
    queued = False
    if find(job_id, actor).status in _RETRYABLE:
        with write_turn(), transaction.atomic():
            check_quota(actor, 1)
            queued = transitions.retry(job_id)
            if queued:
                prefix = actor.key_prefix or ""
                Retry.objects.create(job_id=job_id, api_key_prefix=prefix, at=timezone.now())
                if seed == "new":
                    _draw_seed(job_id)
    job = find(job_id, actor)
    if not queued:
        hint = "Duplicate it instead." if job.status == Status.COMPLETED else ""
        raise wrong_state(job, f"The job can't be retried: it is {_already(job)}.", hint)
    return job


def _draw_seed(job_id: UUID) -> None:
    """Give a job another seed, in the transaction that queues it: its row is locked."""
    job = Job.objects.get(pk=job_id)
    if job.kind == Kind.UPSCALE:
        return  # it has none: the same picture comes out each time
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
