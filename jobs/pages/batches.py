"""A batch as one card: how far it is, its first results, and what holds the rest."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apikeys.actors import Actor
from jobs import services
from jobs.cards import Card, cards
from jobs.choices import Status
from jobs.live.replay import standing
from jobs.models import Batch, Job

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
    prompt: str
    counts: dict[str, int]
    held: int
    results: list[Card]

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
    def title(self) -> str:
        return self.batch.name or self.prompt

    @property
    def version(self) -> str:
        """Return what changes when the card has to be drawn anew."""
        numbers = "-".join(str(self.counts[status]) for status in Status.values)
        return f"{numbers}-{self.held}-{self.title}"


def batch_cards(batches: Iterable[Batch], *, results: int = THUMBNAILS) -> list[BatchCard]:
    """Return these batches as cards, in a number of queries that grows with the batches only."""
    rows = list(batches)
    if not rows:
        return []
    ids = [row.pk for row in rows]
    counts = {pk: dict.fromkeys(Status.values, 0) for pk in ids}
    held = dict.fromkeys(ids, 0)
    # `order_by()`: an order would become part of the groups.
    listed = Job.objects.listed().filter(batch__in=ids).order_by()
    for pk, status, is_held, count in listed.values_list("batch", "status", "held").annotate(
        Count("pk")
    ):
        counts[pk][status] += count
        held[pk] += count if is_held and status == Status.PENDING else 0
    shown: dict[UUID, list[Job]] = {pk: list(_completed(pk)[:results]) for pk in ids}
    by_job = {card.job.pk: card for card in cards(job for jobs in shown.values() for job in jobs)}
    prompts = {pk: _prompt(pk) for pk in ids}
    return [
        BatchCard(
            batch=row,
            prompt=prompts[row.pk],
            counts=counts[row.pk],
            held=held[row.pk],
            results=[by_job[job.pk] for job in shown[row.pk]],
        )
        for row in rows
    ]


def _completed(batch_id: UUID) -> Any:
    listed = Job.objects.listed().filter(batch=batch_id, status=Status.COMPLETED)
    return listed.order_by("-created_at", "-id")


def _prompt(batch_id: UUID) -> str:
    first = Job.objects.listed().filter(batch=batch_id).order_by("created_at", "id").first()
    return first.prompt if first else ""


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
