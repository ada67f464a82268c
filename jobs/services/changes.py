"""Finding a job, and changing it."""

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apikeys.actors import Actor
from jobs import events, transitions, wording
from jobs.choices import Status
from jobs.models import Event, Job, Retry
from jobs.usage import check_quota
from mobilesd.errors import Conflict, NotFound
from mobilesd.rows import Reader

__all__ = ["cancel", "delete", "find", "find_as_of", "retry", "wrong_state"]


_RETRYABLE = (Status.FAILED, Status.CANCELLED)
_LISTED = Reader(
    Job,
    "WHERE t.id = %s AND t.deleted_at IS NULL",
    f"(SELECT MAX(id) FROM {Event._meta.db_table})",
)


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


def cancel(job_id: UUID, actor: Actor) -> Job:
    """Cancel a job, final at once; cancelling it twice is no error.

    Raises NotFound, or Conflict for a job that has ended another way (protocol rule 13).
    """
    find(job_id, actor)
    with transaction.atomic():
        transitions.cancel(job_id)
    job = find(job_id, actor)
    if job.status != Status.CANCELLED:
        raise wrong_state(job, f"The job can't be cancelled: it is {_already(job)}.")
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
            wording.remove([job_id])
    if not hidden:
        raise wrong_state(
            find(job_id, actor), "The job is being made.", "Cancel it first, then delete it."
        )
    job.refresh_from_db()
    return job


def retry(job_id: UUID, actor: Actor) -> Job:
    """Queue a failed or cancelled job again, with the same seed.

    For the quotas of a key that is a job more, and its run counts for the key that asked for it.
    Raises NotFound, Conflict for a job that waits, runs or is completed, or QuotaExceeded.
    """
    queued = False
    if find(job_id, actor).status in _RETRYABLE:
        with transaction.atomic():
            check_quota(actor, 1)
            queued = transitions.retry(job_id)
            if queued:
                prefix = actor.key_prefix or ""
                Retry.objects.create(job_id=job_id, api_key_prefix=prefix, at=timezone.now())
    job = find(job_id, actor)
    if not queued:
        hint = "Submit it again as a new job." if job.status == Status.COMPLETED else ""
        raise wrong_state(job, f"The job can't be retried: it is {_already(job)}.", hint)
    return job


def _already(job: Job) -> str:
    return f"already {job.status}" if job.is_final else job.status


def wrong_state(job: Job, message: str, hint: str = "") -> Conflict:
    """Return the refusal of something that the job's state does not allow."""
    return Conflict(message, hint=hint, extra={"status": job.status})
