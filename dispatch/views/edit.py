"""The page that changes a waiting job."""

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apikeys.actors import Actor
from dispatch.edit_form import EDITED, MOMENTS, EditForm, shown_values
from dispatch.inventory import merged
from dispatch.models import Server
from dispatch.views.new import choices
from jobs import services
from jobs.choices import Status
from jobs.models import Job
from jobs.pages.lists import PRIORITIES
from mobilesd.errors import Problem
from mobilesd.http.pages import go_to

__all__ = ["edit"]


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Show what a waiting job asks for, and take what was changed."""
    actor = Actor.of_user(request.user)
    job = services.find(job_id, actor)
    if request.method == "POST":
        return _take(request, job, actor)
    if job.status != Status.PENDING:
        return go_to(request, reverse("job", args=[job.pk]), "Only a waiting job can be changed.")
    values = shown_values(job)
    return _show(request, job, values, values)


def _take(request: HttpRequest, job: Job, actor: Actor) -> HttpResponse:
    form = EditForm(job, request.POST)
    try:
        changes, params = form.changes(), form.params()
        if changes or params:
            services.patch(job.pk, actor, changes, params)
    except Problem as problem:
        if problem.status not in (400, 422):
            raise
        form.take_errors(problem)
        if getattr(request, "htmx", False):  # only the errors: what was typed stays as it is
            context = {"errors": form.errors, "slots": [*EDITED, "server", "priority", *MOMENTS]}
            return render(request, "dispatch/_new_errors.html", context, status=422)
        return _show(request, job, form.values, form.was, errors=form.errors, status=422)
    return go_to(request, reverse("queue"), "Changed." if changes or params else "As it was.")


def _show(
    request: HttpRequest,
    job: Job,
    values: dict[str, str],
    was: dict[str, str],
    *,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    servers = list(Server.objects.filter(enabled=True, app_type=job.app_type).order_by("alias"))
    have = merged()
    context: dict[str, Any] = {
        "page": "queue",
        "job": job,
        "v": values,
        "was": was,
        "moments": {name: getattr(job, name) for name in MOMENTS},
        "errors": errors or {},
        "servers": servers,
        "gone_server": values["server"]
        if values["server"] and all(row.alias != values["server"] for row in servers)
        else "",
        "priorities": PRIORITIES,
        "checkpoints": choices(have.checkpoints, values["checkpoint"], servers),
        "samplers": choices(have.samplers, values["sampler"], servers),
        "schedulers": choices(have.schedulers, values["scheduler"], servers),
    }
    return render(request, "jobs/edit.html", context, status=status)
