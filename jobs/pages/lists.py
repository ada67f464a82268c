"""The lists of the queue page: what runs, what waits, what is done, and what went wrong."""

import uuid
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from apikeys.actors import Actor
from jobs import services
from jobs.cards import cards
from jobs.choices import Status
from jobs.live.replay import standing
from jobs.models import Job, QueueSettings
from jobs.narrowing import Wanted
from jobs.pages.batches import running_batches
from jobs.pages.entries import ended_entries, entries, once_a_batch
from jobs.pages.hours import hours_line
from jobs.ports import QueueForecast, ports
from jobs.querysets import JobQuerySet
from jobs.services import planning
from mobilesd.http.paging import EXACT_TOTAL, PageRequest, paginate

__all__ = ["PRIORITIES", "active", "done", "ended", "menu", "plan", "queue"]

RUNNING_SHOWN = 20
WAITING_SHOWN = 30
WAITING_STEP = 60
WAITING_AT_MOST = 1_000
ENDED_SHOWN = 5
DONE_SHOWN = 24

# What the page calls the ten priorities.
PRIORITIES = {
    **{n: str(n) for n in range(1, 11)},
    1: "1, most urgent",
    5: "5, normal",
    10: "10, can wait",
}


def _jobs(request: HttpRequest) -> JobQuerySet:
    return Job.objects.visible_to(Actor.of_user(request.user)).listed()


def _wanted_rows(request: HttpRequest) -> int:
    text = request.GET.get("shown", "")
    wanted = int(text) if text.isdecimal() and len(text) < 6 else WAITING_SHOWN
    return max(WAITING_SHOWN, min(wanted, WAITING_AT_MOST))


def _active(request: HttpRequest) -> dict[str, Any]:
    jobs = _jobs(request)
    limit = _wanted_rows(request)
    waiting = jobs.queued()
    shown, more = entries(waiting, limit)
    running = jobs.filter(status=Status.PROCESSING).order_by("started_at", "id")
    run = cards(running[:RUNNING_SHOWN])
    switches = QueueSettings.current()
    ends = bool(shown) and not switches.paused
    forecast = ports.servers.queue_forecast() if ends else QueueForecast(timezone.now())
    in_list = {entry.batch.batch.pk for entry in shown if entry.batch}
    return {
        "running": run,
        "running_batches": running_batches(Actor.of_user(request.user), in_list) if run else [],
        "waiting": shown,
        "waiting_count": waiting.order_by().values("pk")[:EXACT_TOTAL].count() if shown else 0,
        "waiting_count_is_exact": True,
        "waiting_more": more,
        "shown": limit,
        "shown_at_first": WAITING_SHOWN,
        "shown_next": min(limit + WAITING_STEP, WAITING_AT_MOST),
        "shown_at_most": WAITING_AT_MOST,
        "forecast": forecast,
        "again": forecast.misses([entry.card.job for entry in shown if entry.card]),
        "priorities": PRIORITIES,
        "selecting": "select" in request.GET,
        "hours": hours_line(switches, waiting=bool(shown)),
        **_pauses(switches),
    }


def _pauses(switches: QueueSettings) -> dict[str, Any]:
    """Return what is paused, and what could be."""
    paused_servers = list(ports.servers.paused())
    return {
        "switches": switches,
        "paused_servers": paused_servers,
        "running_servers": [a for a in ports.servers.aliases() if a not in paused_servers],
        "running_app_types": [
            name for name in ports.servers.app_types() if name not in switches.paused_app_types
        ],
    }


def _finished(request: HttpRequest, statuses: list[Status], limit: int) -> dict[str, Any]:
    wanted = PageRequest.read({"limit": str(limit), "cursor": request.GET.get("cursor", "")})
    every = Wanted(Actor.of_user(request.user), statuses).parts()
    jobs, *more = (once_a_batch(part, statuses) for part in every)
    page = paginate(jobs, wanted, *more, counted_in=every)
    return {
        "entries": ended_entries(page.rows),
        "next_cursor": page.next_cursor,
        "total": page.total,
        "total_is_exact": page.total_is_exact,
        "first_page": wanted.after is None,
    }


def _ended(request: HttpRequest) -> dict[str, Any]:
    return _finished(request, [Status.FAILED, Status.CANCELLED], ENDED_SHOWN)


def _done(request: HttpRequest) -> dict[str, Any]:
    return _finished(request, [Status.COMPLETED], DONE_SHOWN)


@login_required
@require_safe
def queue(request: HttpRequest) -> HttpResponse:
    """Show the queue."""
    stands = standing()  # before the lists: what happens meanwhile comes as an event
    context = {
        "page": "queue",
        "standing": stands,
        **_active(request),
        "ended": _ended(request),
        "done": _done(request),
    }
    return render(request, "jobs/queue.html", context)


@login_required
@require_safe
def active(request: HttpRequest) -> HttpResponse:
    """Show what runs and what waits, for a page that is open."""
    return render(request, "jobs/_active.html", _active(request))


@login_required
@require_safe
def ended(request: HttpRequest) -> HttpResponse:
    """Show what failed or was cancelled, from a cursor on."""
    return render(request, "jobs/_ended.html", {"ended": _ended(request)})


@login_required
@require_safe
def done(request: HttpRequest) -> HttpResponse:
    """Show what is completed, from a cursor on."""
    return render(request, "jobs/_done.html", {"done": _done(request)})


@login_required
@require_safe
def menu(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Show what can be done with a job: as a sheet of the queue page, or as a page."""
    job = services.find(job_id, Actor.of_user(request.user))
    actor = Actor.of_user(request.user)
    context = {
        "page": "queue",
        "card": cards([job])[0],
        "priorities": PRIORITIES,
        "takes": len(services.also_taken([job_id], actor)) if not job.is_final else 0,
        "once": uuid.uuid4().hex,
    }
    part = request.headers.get("HX-Request")
    return render(request, "jobs/_menu.html" if part else "jobs/menu.html", context)


@login_required
@require_safe
def plan(request: HttpRequest) -> HttpResponse:
    """Show what grouping the queue by checkpoint would save: as a sheet, or as a page."""
    found = ports.servers.plan()
    context: dict[str, Any] = {"page": "queue", "plan": found}
    if found is not None:
        own = planning.visible(found.order, Actor.of_user(request.user))
        context["order"] = " ".join(job_id.hex for job_id in own)
        saved = found.as_ordered.seconds - found.grouped.seconds
        context["nothing_counted"] = 0 < found.jobs <= found.as_ordered.left
        context["assumes"] = " and ".join(found.assumes)
        context["worth_it"] = saved >= 1 and found.grouped.loads < found.as_ordered.loads
    part = request.headers.get("HX-Request")
    return render(request, "jobs/_plan.html" if part else "jobs/plan.html", context)
