"""Jobs as the queue page lists them: single ones, and each batch once."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q
from django.db.models.lookups import In

from jobs.cards import Card, cards
from jobs.models import Batch, Job
from jobs.pages.batches import BatchCard, batch_cards
from jobs.querysets import JobQuerySet, Unindexed

__all__ = ["Entry", "ended_entries", "entries", "once_a_batch", "waiting_of"]

_CHUNK = 100


@dataclass(frozen=True)
class Entry:
    """One place in a list: a job, or a batch where its first job of that list stands."""

    card: Card
    batch: BatchCard | None = None
    # One before it waits for the same: its buttons would be the same again.
    same_reason: bool = False

    @property
    def version(self) -> str:
        """Return what changes when it has to be drawn anew."""
        return f"{self.card.row_version}-{self.same_reason}-{self.batch and self.batch.version}"

    @property
    def key(self) -> str:
        """Return what forms and the page's scripts call it: `job-<id>` or `batch-<id>`."""
        return f"batch-{self.batch.batch.pk}" if self.batch else f"job-{self.card.job.pk}"


def entries(waiting: JobQuerySet, limit: int) -> tuple[list[Entry], bool]:
    """Return the first entries of these jobs, and whether there are more.

    A batch stands where its first waiting job does. `waiting` is in the order of the queue.
    """
    firsts = _firsts(waiting, limit + 1)
    shown = firsts[:limit]
    batches = {
        card.batch.pk: card
        for card in batch_cards(
            Batch.objects.filter(pk__in={job.batch_id for job in shown if job.batch_id})
        )
    }
    found: list[Entry] = []
    seen = set[str]()
    for card in cards(shown):
        batch = batches.get(card.job.batch_id) if card.job.batch_id else None
        found.append(Entry(card, batch, _sentence(card) in seen))
        if not (batch and batch.held):  # which shows buttons of its own
            seen.add(_sentence(card))
    return found, len(firsts) > limit


def _sentence(card: Card) -> str:
    return card.reason.message if card.reason else ""


def _firsts(waiting: JobQuerySet, limit: int) -> list[Job]:
    """Return the first single jobs and the first job of each batch, in the order of the queue."""
    found: list[Job] = []
    singles, seen = 0, set[UUID]()
    while len(found) < limit:
        # Without the batches that were seen, only single jobs lie before what comes next.
        rest = waiting.exclude(batch__in=seen) if seen else waiting
        chunk = list(rest[singles : singles + _CHUNK])
        for job in chunk:
            if job.batch_id is None:
                singles += 1
            elif job.batch_id in seen:
                continue
            else:
                seen.add(job.batch_id)
            found.append(job)
        if len(chunk) < _CHUNK:
            break
    return found[:limit]


def ended_entries(jobs: Sequence[Job]) -> list[Entry]:
    """Return jobs that `once_a_batch` left as entries: a job, or the batch that it stands for."""
    wanted = {job.batch_id for job in jobs if job.batch_id}
    batches = {card.batch.pk: card for card in batch_cards(Batch.objects.filter(pk__in=wanted))}
    return [
        Entry(card, batches.get(card.job.batch_id) if card.job.batch_id else None)
        for card in cards(jobs)
    ]


def once_a_batch(jobs: JobQuerySet, statuses: Sequence[str]) -> JobQuerySet:
    """Keep the jobs of no batch, and of each batch the newest one in one of these states."""
    later = Q(created_at__gt=OuterRef("created_at"))
    later |= Q(created_at=OuterRef("created_at"), pk__gt=OuterRef("pk"))
    # Along the batches' index (see `Unindexed`): asked for each row of a page.
    ended = In(Unindexed(F("status")), list(statuses))
    others = Job.objects.listed().filter(ended, later, batch=OuterRef("batch"))
    return jobs.filter(~Exists(others))


def waiting_of(waiting: JobQuerySet, keys: Sequence[str]) -> list[UUID]:
    """Return the waiting jobs that these keys of entries stand for, in the order of the queue.

    What does not wait any more, or never was, is left out.
    """
    jobs, batches = set[UUID](), set[UUID]()
    for key in keys:
        kind, _, text = key.partition("-")
        try:
            {"job": jobs, "batch": batches}[kind].add(UUID(text))
        except (KeyError, ValueError):
            continue
    singles = waiting.filter(pk__in=jobs) if jobs else waiting.none()
    of_batches = waiting.filter(batch__in=batches) if batches else waiting.none()
    return [job.pk for job in (singles | of_batches).only("pk")] if keys else []
