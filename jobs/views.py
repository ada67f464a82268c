"""The queue page: what runs, what comes next, what is done, and what went wrong."""

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from apikeys.actors import Actor
from jobs import services
from jobs.cards import cards
from jobs.choices import Status
from jobs.live.replay import standing
from jobs.models import Job, QueueSettings
from jobs.narrowing import Wanted
from jobs.querysets import JobQuerySet
from jobs.services import queue as whole_queue
from mobilesd.errors import Problem
from mobilesd.http.pages import acted, go_to
from mobilesd.http.paging import PageRequest, paginate

__all__ = ["active", "cancel", "delete", "done", "ended", "queue", "retry", "switch"]

RUNNING_SHOWN = 20
WAITING_SHOWN = 30
ENDED_SHOWN = 5
DONE_SHOWN = 24


def _jobs(request: HttpRequest) -> JobQuerySet:
    return Job.objects.visible_to(Actor.of_user(request.user)).listed()


def _active(request: HttpRequest) -> dict[str, Any]:
    jobs = _jobs(request)
    waiting = jobs.queued()
    shown = cards(waiting[:WAITING_SHOWN])
    count = waiting.count() if len(shown) == WAITING_SHOWN else len(shown)
    running = jobs.filter(status=Status.PROCESSING).order_by("started_at", "id")
    return {
        "running": cards(running[:RUNNING_SHOWN]),
        "waiting": shown,
        "waiting_count": count,
        "waiting_more": count - len(shown),
        "switches": QueueSettings.current(),
    }


def _finished(request: HttpRequest, statuses: list[Status], limit: int) -> dict[str, Any]:
    wanted = PageRequest.read({"limit": str(limit), "cursor": request.GET.get("cursor", "")})
    jobs, *more = Wanted(Actor.of_user(request.user), statuses).parts()
    page = paginate(jobs, wanted, *more)
    return {
        "cards": cards(page.rows),
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
@require_POST
def switch(request: HttpRequest) -> HttpResponse:
    """Pause the queue or let it go on, or one app type in it."""
    if not request.user.is_staff:
        raise Problem(
            "Only staff may pause the queue.",
            error="scope_missing",
            hint="Ask somebody who administrates this MobileSD.",
        )
    app_type = request.POST.get("app_type", "")
    if request.POST.get("to") == "pause":
        whole_queue.pause(app_type=app_type)
        return acted(request, "Paused. What is being made is finished.", reverse("queue"))
    whole_queue.resume(app_type=app_type)
    return acted(request, "The queue goes on.", reverse("queue"))


@login_required
@require_POST
def cancel(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Cancel a job."""
    services.cancel(job_id, Actor.of_user(request.user))
    return acted(request, "Cancelled.", reverse("queue"))


@login_required
@require_POST
def retry(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Queue a failed or cancelled job again."""
    services.retry(job_id, Actor.of_user(request.user))
    return acted(request, "Back in the queue.", reverse("queue"))


@login_required
@require_POST
def delete(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Delete a job; its own page is left for the queue."""
    services.delete(job_id, Actor.of_user(request.user))
    if request.POST.get("leave"):
        return go_to(request, reverse("queue"), "Deleted.")
    return acted(request, "Deleted.", reverse("queue"))
