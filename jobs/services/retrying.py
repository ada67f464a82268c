"""Queueing many jobs again at once: those of a batch that failed, and those that failed with one.

Of several, those that can't be made still stay as they are: one that also needs another job which
came to nothing, and one that is made from a file that is gone.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apikeys.actors import Actor
from jobs import again, chains, inputs
from jobs.choices import Status
from jobs.models import Job, Retry, Undo, hold_queue
from jobs.services import undo
from jobs.services.batches import find_batch
from jobs.services.cancelling import MANY
from jobs.services.chains import failed_with
from jobs.services.changes import NewTimes, Seed, draw_seed, find, input_gone, no_retry
from jobs.services.checks import check_deadline
from jobs.usage import check_quota
from mobilesd.sqlite import write_turn

__all__ = ["Retried", "retry_batch", "retry_together"]

# What a retry takes from a job, and its undo gives back.
_KEPT = (
    *("status", "server_alias", "started_at", "finished_at", "retry_at", "deadline"),
    *("held", "blocked", "avoid_servers", "memory_step", "attempts_made"),
    *("error_code", "error_message", "error_hint"),
)


@dataclass(frozen=True)
class Retried:
    """How many jobs wait again, the failed ones that can't, and by what it can be taken back."""

    count: int
    left: Sequence[UUID] = field(default=())
    undo: Undo | None = None


def retry_batch(batch_id: UUID, actor: Actor) -> Retried:
    """Queue the jobs of a batch again that failed. Can be undone while they wait.

    For the quotas of a key each is a job more. Doing it twice is no error. Raises NotFound or
    QuotaExceeded.
    """
    batch = find_batch(batch_id, actor)
    failed = Job.objects.listed().filter(batch=batch, status=Status.FAILED)
    with write_turn(), transaction.atomic():
        if actor.has_quota:
            check_quota(actor, failed.count())  # before the lock of the queue, as everywhere
        hold_queue()
        rows = {job.pk: job for job in failed.order_by("position", "pk")}
        queued, _ = again.retry_many(_able(rows.values()))
        if not queued:
            return Retried(0, list(rows))
        _count(queued, actor)
        was = {job.pk.hex: _was(rows[job.pk]) for job in queued}
        state = {"retried": {queued[0].updated_at.isoformat(): was}}
        row = undo.remember(actor, "retry_batch", state)
    done = {job.pk for job in queued}
    return Retried(len(queued), [pk for pk in rows if pk not in done], row)


def retry_together(
    job_id: UUID, actor: Actor, *, seed: Seed, **changes: Unpack[NewTimes]
) -> tuple[Job, list[UUID]]:
    """Queue a job again together with those that failed because of it; return them.

    Raises what `retry` raises.
    """
    check_deadline(changes.get("deadline"), find(job_id, actor).not_before)
    with write_turn(), transaction.atomic():
        wanted = failed_with([job_id], actor)[:MANY]
        check_quota(actor, 1 + len(wanted))  # before the lock of the queue, as everywhere
        hold_queue()
        others = _able(Job.objects.filter(pk__in=wanted), [job_id])
        deadlines = {job_id: changes["deadline"]} if "deadline" in changes else {}
        queued, gone = again.retry_many([job_id, *others], deadlines)
        if job_id in gone:
            raise input_gone(job_id, "retried")
        done = {job.pk for job in queued}
        if job_id not in done:
            raise no_retry(find(job_id, actor))
        _count(queued, actor)
        if seed == "new":
            draw_seed(job_id)
    return find(job_id, actor), [pk for pk in wanted if pk in done]


def _able(jobs: Iterable[Job], open_again: Collection[UUID] = ()) -> list[UUID]:
    there = [job.pk for job in jobs if inputs.are_there(job.generation_params)]
    return chains.able(there, open_again)


def _count(jobs: Iterable[Job], actor: Actor) -> None:
    prefix, at = actor.key_prefix or "", timezone.now()
    Retry.objects.bulk_create(
        [Retry(job=job, api_key_prefix=prefix, at=at) for job in jobs], batch_size=250
    )


def _was(job: Job) -> Mapping[str, Any]:
    """Return what a retry changes of a job, as JSON has it."""
    values = {name: getattr(job, name) for name in _KEPT}
    return {
        name: value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in values.items()
    }
