"""The page that changes a waiting job."""

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apikeys.actors import Actor
from dispatch.edit_form import EditForm, Shown, shown
from dispatch.forms import FIELDS
from dispatch.inventory import merged
from dispatch.models import Server
from dispatch.views import upscale
from dispatch.views.new import choices, refused
from dispatch.when_form import LANES, MOMENTS, ON_FAILURE, WHEN, needs_shown
from jobs import services
from jobs.choices import Kind, Status
from jobs.models import Job
from jobs.pages.lists import PRIORITIES
from mobilesd.errors import Problem
from mobilesd.http.pages import go_to

__all__ = ["edit"]

_SLOTS = (*FIELDS, "loras", "init", "server", *WHEN, "needs")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Show what a waiting job asks for, and take what was changed."""
    actor = Actor.of_user(request.user)
    job = services.find(job_id, actor)
    if request.method == "POST":
        take = upscale.change if job.kind == Kind.UPSCALE else _take
        return take(request, job, actor)
    if job.status != Status.PENDING:
        return go_to(request, reverse("job", args=[job.pk]), "Only a waiting job can be changed.")
    if job.kind == Kind.UPSCALE:
        return upscale.show_job(request, job)
    return _show(request, job, shown(job))


def _take(request: HttpRequest, job: Job, actor: Actor) -> HttpResponse:
    form = EditForm(job, request, actor)
    try:
        changes, params = form.changes(), form.params()
        if changes or params:
            services.patch(job.pk, actor, changes, params)
    except Problem as problem:
        if problem.status not in (400, 413, 422) and problem.error != "dependency_failed":
            raise
        form.take_errors(problem)
        if getattr(request, "htmx", False):  # what was typed stays as it is
            return refused(request, form.shown.errors, _SLOTS)
        return _show(request, job, form.shown)
    return go_to(request, reverse("queue"), "Changed." if changes or params else "As it was.")


def _show(request: HttpRequest, job: Job, form: Shown) -> HttpResponse:
    servers = list(Server.objects.filter(enabled=True, app_type=job.app_type).order_by("alias"))
    have, server = merged(), form.values["server"]
    context: dict[str, Any] = {
        "page": "queue",
        "job": job,
        "form": form,
        "v": form.values,
        "moments": {name: getattr(job, name) for name in MOMENTS},
        "errors": form.errors,
        "servers": servers,
        "gone_server": server if server and all(row.alias != server for row in servers) else "",
        "needs": needs_shown(form.needs, Actor.of_user(request.user)),
        "priorities": PRIORITIES,
        "lanes": LANES,
        "on_failure": ON_FAILURE,
        "loras": choices(have.loras, "", servers),
        "checkpoints": choices(have.checkpoints, form.values["checkpoint"], servers),
        "samplers": choices(have.samplers, form.values["sampler"], servers),
        "schedulers": choices(have.schedulers, form.values["scheduler"], servers),
    }
    return render(request, "jobs/edit.html", context, status=422 if form.errors else 200)
