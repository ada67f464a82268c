"""Jobs that were submitted together: how far they are, and what is done with all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, Window
from django.db.models.functions import RowNumber
from django.db.models.lookups import Exact
from django.utils import timezone

from apikeys.actors import Actor
from jobs import events, transitions
from jobs.choices import Status
from jobs.models import Batch, Job, hold_queue
from jobs.ports import Result, ports
from jobs.querysets import Unindexed
from jobs.services import undo
from jobs.services.cancelling import Taken, also_taken, cancel_jobs
from mobilesd.errors import NotFound
from mobilesd.sqlite import write_turn

__all__ = [
    "BatchStanding",
    "batch_standing",
    "batch_standings",
    "cancel_batch",
    "find_batch",
    "nod",
]

_UNFINISHED = (Status.PENDING, Status.PROCESSING)
RESULTS_SHOWN = 12


@dataclass(frozen=True)
class BatchStanding:
    """How far a batch is: its jobs by status; deleted ones are in none of these.

    `held` of the pending ones wait for a nod. `results` are some jobs that are done, with their
    pictures.
    """

    counts: Mapping[str, int]
    deleted: int
    held: int = 0
    results: Sequence[tuple[UUID, Result]] = field(default=())

    @property
    def finished(self) -> bool:
        """Tell whether all of its jobs have ended; what waits for a nod has not."""
        return not self.counts[Status.PENDING] and not self.counts[Status.PROCESSING]


def find_batch(batch_id: UUID, actor: Actor) -> Batch:
    """Return a batch that this actor may see; raise NotFound (`not_found`)."""
    batch = Batch.objects.visible_to(actor).filter(pk=batch_id).first()
    if batch is None:
        raise NotFound(
            "There is no such bulk order.",
            hint="Check the id: it is the bulk_job_id of POST /api/v2/generate/bulk.",
        )
    return batch


def batch_standing(batch: Batch) -> BatchStanding:
    """Return how far a batch is (see `batch_standings`)."""
    return batch_standings([batch])[batch.pk]


def batch_standings(
    batches: Sequence[Batch], *, results: int = RESULTS_SHOWN, newest: bool = False
) -> dict[UUID, BatchStanding]:
    """Return how far each of these batches is, in three queries for all of them.

    With the first so many results of each in the order of the batch, or the `newest` first.
    """
    ids = [batch.pk for batch in batches]
    jobs = Job.objects.listed().filter(batch__in=ids).order_by()
    counts = {pk: dict.fromkeys(map(str, Status.values), 0) for pk in ids}
    held = dict.fromkeys(ids, 0)
    for pk, status, waits, count in jobs.values_list("batch", "status", "held").annotate(
        Count("pk")
    ):
        counts[pk][status] += count
        if waits and status == Status.PENDING:
            held[pk] = count
    done = _done(ids, results, newest=newest)
    pictures = ports.results(done) if done else {}
    shown: dict[UUID, list[tuple[UUID, Result]]] = {pk: [] for pk in ids}
    for job in done:
        if job.batch_id is not None and job.pk in pictures:
            shown[job.batch_id].append((job.pk, pictures[job.pk]))
    return {
        batch.pk: BatchStanding(
            counts[batch.pk],
            deleted=max(0, batch.total - sum(counts[batch.pk].values())),
            held=held[batch.pk],
            results=shown[batch.pk],
        )
        for batch in batches
    }


def _done(batch_ids: Sequence[UUID], most: int, *, newest: bool) -> list[Job]:
    order = ["-created_at", "-pk"] if newest else ["created_at", "pk"]
    place = Window(RowNumber(), partition_by=F("batch"), order_by=order)
    # Along the batches' index: without statistics, SQLite may walk all that was ever completed.
    completed = Exact(Unindexed(F("status")), Status.COMPLETED)
    done = Job.objects.listed().filter(completed, batch__in=batch_ids)
    first = done.annotate(place_in_batch=place).filter(place_in_batch__lte=most)
    return list(first.only("pk", "batch_id").order_by(*order))


def cancel_batch(batch_id: UUID, actor: Actor, *, dry_run: bool = False) -> Taken:
    """Cancel what waits or runs of a batch, final at once; count the jobs. Can be undone.

    Doing it twice is no error. With `dry_run` nothing is changed. Raises NotFound.
    """
    batch = find_batch(batch_id, actor)
    left = Job.objects.listed().filter(batch=batch, status__in=_UNFINISHED)
    ids = list(left.order_by("pk").values_list("pk", flat=True))
    return cancel_jobs(ids, actor, "cancel_batch", dry_run=dry_run)


def nod(batch_id: UUID, actor: Actor, *, go: bool) -> Taken:
    """Let the held jobs of a batch run, or cancel them, which can be undone; count them.

    Of two nods at once the first one counts, and the second finds nothing to do, as one does that
    is repeated. Raises NotFound.
    """
    batch = find_batch(batch_id, actor)
    with write_turn(), transaction.atomic():
        hold_queue()
        held = Job.objects.queued().filter(batch=batch, held=True)
        jobs = list(held.select_for_update(no_key=True))
        if not jobs:
            return Taken(0)
        now = timezone.now()
        Batch.objects.filter(pk=batch.pk).update(nodded_at=now)
        return _release(jobs, now) if go else _drop(batch, jobs, actor, now)


def _release(jobs: Sequence[Job], now: datetime) -> Taken:
    for job in jobs:
        job.held = False  # the journal tells what the row in memory says
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(held=False, updated_at=now)
    events.emit_for_jobs("job.changed", [(job, _released(job)) for job in jobs])
    transitions.announce_all(jobs)
    return Taken(len(jobs))


def _drop(batch: Batch, jobs: Sequence[Job], actor: Actor, now: datetime) -> Taken:
    ids = [job.pk for job in jobs]
    also = also_taken(ids, actor)
    transitions.cancel_pending(ids, at=now)
    state = {**undo.state_of("ended", ids, now), "nodded": str(batch.pk)}
    return Taken(len(ids), undo.remember(actor, "nod", state), also=also)


def _released(job: Job) -> events.JobChanged:
    return events.JobChanged(job=str(job.pk), status=job.status, fields=["held"])
