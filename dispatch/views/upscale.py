"""The page that orders a larger picture: of one that is there, or of one yet to be made."""

import uuid
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apikeys.actors import Actor
from dispatch.inventory import merged
from dispatch.models import Server
from dispatch.start_form import Start
from dispatch.upscale_form import LABELS, UpscaleForm, errors_by_field, prompt_of
from dispatch.views.new import choices, refused
from dispatch.views.then import id_of, start_after
from gallery.models import Image
from jobs import services
from jobs.choices import Kind
from jobs.models import Job
from jobs.upscaling import DEFAULT_FACTOR
from mobilesd.errors import NotFound, Problem
from mobilesd.http.pages import go_to

__all__ = ["change", "show_job", "upscale"]

# What most people mean, where a server has it.
_FAVOURITE = "R-ESRGAN 4x+"


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def upscale(request: HttpRequest) -> HttpResponse:
    """Show the form, filled from a picture or a job; take what was sent."""
    actor = Actor.of_user(request.user)
    if request.method == "POST":
        return _submit(request, actor)
    return _show(request, _prefilled(request, actor))


def show_job(request: HttpRequest, job: Job) -> HttpResponse:
    """Show what a waiting upscale asks for, to change it."""
    return _show(request, UpscaleForm.of_job(job), job=job)


def change(request: HttpRequest, job: Job, actor: Actor) -> HttpResponse:
    """Take what was changed of a waiting upscale."""
    form = UpscaleForm.read(request, actor)
    try:
        changes = {}
        if form.server != job.target_server_alias:
            changes["target_server_alias"] = form.server
        services.patch(job.pk, actor, changes, form.changed_params(actor))
    except Problem as problem:
        if problem.status not in (400, 413, 422):
            raise
        return _refuse(request, form, problem, job=job)
    return go_to(request, reverse("queue"), "Changed.")


def _prefilled(request: HttpRequest, actor: Actor) -> UpscaleForm:
    if job_id := request.GET.get("from"):
        job = services.find(id_of(job_id), actor)
        if job.kind == Kind.UPSCALE:
            return UpscaleForm.of_job(job)
    start = Start()
    if job_id := request.GET.get("job"):
        _, start = start_after(job_id, actor)
    elif image_id := request.GET.get("image"):
        image = Image.objects.visible_to(actor).filter(pk=id_of(image_id)).first()
        if image is None:
            raise NotFound("There is no such picture.", error="image_not_found")
        start = Start(image=image)
    return UpscaleForm(start=start, prompt=prompt_of(start, None))


def _submit(request: HttpRequest, actor: Actor) -> HttpResponse:
    form = UpscaleForm.read(request, actor)
    try:
        done = services.submit(form.order(actor, request.POST.get("once", "")), actor)
    except Problem as problem:
        if problem.status >= 500:
            raise
        return _refuse(request, form, problem)
    except FileNotFoundError:
        raise NotFound(
            "A picture of the earlier job is not there any more.", hint="Choose another picture."
        ) from None
    place = done.queue_position
    text = "Sent." if place is None or place == 1 else f"Sent. It is number {place} in the queue."
    return go_to(request, reverse("queue"), " ".join([text, *done.warnings]))


def _refuse(
    request: HttpRequest, form: UpscaleForm, problem: Problem, *, job: Job | None = None
) -> HttpResponse:
    errors = errors_by_field(problem)
    if getattr(request, "htmx", False):  # what was typed stays as it is
        return refused(request, errors, list(LABELS))
    return _show(request, form, job=job, errors=errors, status=422)


def _show(
    request: HttpRequest,
    form: UpscaleForm,
    *,
    job: Job | None = None,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    servers = list(Server.objects.filter(enabled=True).order_by("alias"))
    listed = choices(merged().image_upscalers, form.upscaler, servers)
    names = [entry["name"] for entry in listed]
    context: dict[str, Any] = {
        "page": "queue" if job else "new",
        "job": job,
        "form": form,
        "start": form.start,
        "errors": errors or {},
        "once": uuid.uuid4().hex,
        "servers": servers,
        "upscalers": listed,
        "chosen": form.upscaler or (_FAVOURITE if _FAVOURITE in names else ""),
        "default_factor": DEFAULT_FACTOR,
    }
    return render(request, "dispatch/upscale.html", context, status=status)
