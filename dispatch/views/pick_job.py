"""Choosing a job: one to wait for, or one whose picture is to be started from."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apikeys.actors import Actor
from jobs.api.filters import read_filter
from jobs.choices import Status
from mobilesd.errors import InvalidInput
from mobilesd.http.paging import PageRequest

__all__ = ["pick_job"]

_SHOWN = 30


@login_required
@require_safe
def pick_job(request: HttpRequest) -> HttpResponse:
    """List jobs that are not done yet, newest first, all or those that have the words of `q`."""
    if not getattr(request, "htmx", False):
        raise Http404("This is a part of a page.")
    query = request.GET.copy()
    query["status"] = f"{Status.PENDING},{Status.PROCESSING}"
    try:
        asked = read_filter(query, Actor.of_user(request.user))
    except InvalidInput as problem:  # somebody is still typing, so it is told in the list
        wrong = problem.message.replace("q ", "The search ", 1)
        return render(request, "dispatch/_pick_job.html", {"wrong": wrong})
    wanted = PageRequest.read({"limit": str(_SHOWN), "cursor": request.GET.get("cursor", "")})
    page = asked.page(wanted)
    context = {
        "jobs": page.rows,
        "next_cursor": page.next_cursor,
        "words": asked.used.get("q", ""),
        "first": wanted.after is None,
    }
    return render(request, "dispatch/_pick_job.html", context)
