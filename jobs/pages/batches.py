"""A batch as one card: how far it is, its first results, and what holds the rest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apikeys.actors import Actor
from jobs import services
from jobs.cards import cards
from jobs.choices import Status
from jobs.live.replay import standing
from jobs.models import Batch, Job
from jobs.ports import Result

__all__ = ["BatchCard", "batch", "batch_cards", "running_batches"]

THUMBNAILS = 12
RESULTS_SHOWN = 120
WAITING_SHOWN = 100
# Batches of which something runs: no more than lanes.
_RUNNING = 50


@dataclass(frozen=True)
class BatchCard:
    """One batch; `counts` by status of its listed jobs, `results` its newest completed jobs."""

    batch: Batch
    title: str
    counts: Mapping[str, int]
    held: int
    results: Sequence[tuple[UUID, Result]]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        return self.counts[Status.COMPLETED]

    @property
    def ended(self) -> int:
        """Return how many of its jobs nothing more happens to by itself."""
        return self.total - self.unfinished

    @property
    def unfinished(self) -> int:
        return self.counts[Status.PENDING] + self.counts[Status.PROCESSING]

    @property
    def share(self) -> float:
        """Return how much of it has ended, from 0 to 1."""
        return self.ended / self.total if self.total else 0.0

    @property
    def version(self) -> str:
        """Return what changes when the card has to be drawn anew."""
        numbers = "-".join(str(self.counts[status]) for status in Status.values)
        return f"{numbers}-{self.held}-{self.title}"


def batch_cards(batches: Iterable[Batch], *, results: int = THUMBNAILS) -> list[BatchCard]:
    """Return these batches as cards, in a fixed number of queries."""
    rows = list(batches)
    if not rows:
        return []
    standings = services.batch_standings(rows, results=results, newest=True)
    prompts = _prompts([row.pk for row in rows if not row.name])
    return [
        BatchCard(
            batch=row,
            title=row.name or prompts.get(row.pk, ""),
            counts=standings[row.pk].counts,
            held=standings[row.pk].held,
            results=standings[row.pk].results,
        )
        for row in rows
    ]


def _prompts(batch_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return the prompt of each batch's first job."""
    own = Job.objects.listed().filter(batch=OuterRef("pk")).order_by("created_at", "id")
    firsts = Batch.objects.filter(pk__in=batch_ids).annotate(first=Subquery(own.values("pk")[:1]))
    jobs = Job.objects.in_bulk([pk for pk in firsts.values_list("first", flat=True) if pk])
    return {job.batch_id: job.prompt for job in jobs.values() if job.batch_id}


def running_batches(actor: Actor, shown: Iterable[UUID]) -> list[BatchCard]:
    """Return the batches of which something runs and nothing is shown as waiting."""
    running = Job.objects.visible_to(actor).listed().filter(status=Status.PROCESSING)
    ids = running.filter(batch__isnull=False).order_by().values_list("batch", flat=True)
    wanted = set(ids[:_RUNNING]) - set(shown)
    return batch_cards(Batch.objects.filter(pk__in=wanted).order_by("created_at"))


@login_required
@require_safe
def batch(request: HttpRequest, batch_id: UUID) -> HttpResponse:
    """Show one batch: all results, what runs, and what waits."""
    actor = Actor.of_user(request.user)
    row = services.find_batch(batch_id, actor)
    stands = standing()
    jobs = Job.objects.listed().filter(batch=row)
    waiting = jobs.queued()
    context = {
        "page": "queue",
        "standing": stands,
        "whole": batch_cards([row], results=RESULTS_SHOWN)[0],
        "waiting": cards(waiting[:WAITING_SHOWN]),
        "waiting_count": waiting.count(),
        "running": cards(jobs.filter(status=Status.PROCESSING).order_by("started_at", "id")),
        "ended": cards(
            jobs.filter(status__in=[Status.FAILED, Status.CANCELLED]).order_by("-finished_at")[:20]
        ),
    }
    template = "jobs/_batch_page.html" if request.headers.get("HX-Request") else "jobs/batch.html"
    return render(request, template, context)
