"""The page on which a picture is ordered."""

import uuid
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apikeys.actors import Actor
from dispatch.forms import FIELDS, LABELS, PictureForm, Typed
from dispatch.inventory import Listed, merged
from dispatch.models import Server
from gallery.models import Image
from jobs import services
from jobs.services import presets
from mobilesd.errors import NotFound, Problem
from mobilesd.http.pages import go_to

__all__ = ["choices", "new"]

_PRESETS = 500


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Show the form, empty or filled from an earlier job or picture; take what was sent."""
    return _submit(request) if request.method == "POST" else _show(request, *_prefilled(request))


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("There is no such job or picture.") from None


def _prefilled(request: HttpRequest) -> tuple[Typed, bool]:
    """Return the first values, and whether they go before what the browser remembers."""
    actor = Actor.of_user(request.user)
    if job_id := request.GET.get("from"):
        job = services.find(_id(job_id), actor)
        return Typed.of_job(job, same_seed=request.GET.get("seed") != "new"), True
    if preset_id := request.GET.get("preset"):
        return Typed.of_preset(presets.find(_id(preset_id), actor)), False
    if image_id := request.GET.get("init"):
        image = Image.objects.visible_to(actor).filter(pk=_id(image_id)).first()
        if image is None:
            raise NotFound("There is no such picture.", error="image_not_found")
        return Typed(init_image=image), False
    return Typed(), False


def _submit(request: HttpRequest) -> HttpResponse:
    form = PictureForm(request)
    try:
        done = services.submit(form.order(), Actor.of_user(request.user))
    except Problem as problem:
        if problem.status >= 500:
            raise
        form.take_errors(problem)
        if getattr(request, "htmx", False):  # only the errors: what was typed stays as it is
            context = {"errors": form.errors, "slots": [*FIELDS, "loras", "server", "init"]}
            return render(request, "dispatch/_new_errors.html", context, status=422)
        return _show(request, form.typed, True, errors=form.errors, status=422)
    except FileNotFoundError:
        raise NotFound(
            "A picture of the earlier job is not there any more.",
            hint="Choose another picture to start from.",
        ) from None
    place = done.queue_position
    text = "Sent." if place is None or place == 1 else f"Sent. It is number {place} in the queue."
    return go_to(request, reverse("queue"), " ".join([text, *done.warnings]))


def _show(
    request: HttpRequest,
    typed: Typed,
    prefilled: bool,
    *,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    servers = list(Server.objects.filter(enabled=True).order_by("alias"))
    have = merged()
    context: dict[str, Any] = {
        "page": "new",
        "typed": typed,
        "v": typed.values,
        "labels": LABELS,
        "prefilled": prefilled,
        "errors": errors or {},
        "once": uuid.uuid4().hex,
        "servers": servers,
        "presets": presets.visible(Actor.of_user(request.user)).order_by("name")[:_PRESETS],
        "checkpoints": choices(have.checkpoints, typed.values.get("checkpoint", ""), servers),
        "loras": choices(have.loras, "", servers),
        "samplers": choices(have.samplers, typed.values.get("sampler", ""), servers),
        "schedulers": choices(have.schedulers, typed.values.get("scheduler", ""), servers),
    }
    return render(request, "dispatch/new.html", context, status=status)


def choices(listed: Any, chosen: str, servers: list[Server]) -> list[dict[str, str]]:
    """Return what to choose from; `only` names the servers when not all of them have it."""
    entries: list[Listed] = list(listed)
    found = [
        {
            "name": entry.name,
            "only": "" if len(entry.servers) >= len(servers) else ", ".join(entry.servers),
        }
        for entry in entries
    ]
    if chosen and all(entry.name != chosen for entry in entries):
        found.insert(0, {"name": chosen, "only": "no server now"})
    return found
