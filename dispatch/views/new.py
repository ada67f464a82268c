"""The page on which pictures are ordered: one job, or many of one order."""

import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from apikeys.actors import Actor
from dispatch.forms import FIELDS, LABELS, PictureForm, Typed
from dispatch.inventory import Listed, MergedInventory, merged
from dispatch.many_form import ALL_FOLDERS, MANY, ManyForm
from dispatch.models import Server
from dispatch.start_form import Start
from dispatch.views.then import id_of, img2img_after
from dispatch.when_form import LANES, ON_FAILURE, WHEN, needs_shown
from gallery.models import Image
from jobs import services
from jobs.choices import Kind
from jobs.pages.lists import PRIORITIES, WAITING_AT_MOST, WAITING_SHOWN
from jobs.services import presets
from jobs.services.variations import SeedVariation
from mobilesd.errors import NotFound, Problem
from mobilesd.http.pages import go_to

__all__ = ["choices", "count", "new", "refused"]

_PRESETS = 500
# The first is what a new form says.
_SEEDS = {
    SeedVariation.INCREMENTAL: "Counting up from the one above",
    SeedVariation.RANDOM: "All drawn",
    SeedVariation.FIXED: "All the same",
}
_SLOTS = (*FIELDS, "loras", "server", "init", *WHEN, "needs", *MANY)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Show the form, empty or filled from an earlier job or picture; take what was sent."""
    if request.method == "POST":
        return _submit(request)
    if place := _another_form(request):
        return redirect(place)
    return _show(request, *_prefilled(request))


def _another_form(request: HttpRequest) -> str:
    """Return where an upscale is ordered, if that is what is wanted."""
    wanted = request.GET
    if wanted.get("then") == Kind.UPSCALE:
        return f"{reverse('upscale')}?{urlencode({'job': wanted.get('job', '')})}"
    if job_id := wanted.get("from"):
        job = services.find(id_of(job_id), Actor.of_user(request.user))
        if job.kind == Kind.UPSCALE:
            return f"{reverse('upscale')}?{urlencode({'from': job.pk})}"
    return ""


@login_required
@require_POST
def count(request: HttpRequest) -> HttpResponse:
    """Say how many jobs the form would make as it is, or what is wrong with it."""
    form, many = PictureForm(request), ManyForm(request.POST)
    context: dict[str, Any] = {}
    try:
        if many.is_used:
            bulk = many.bulk(form.outline(), has_start=True)
            context["size"] = services.size_of(bulk, Actor.of_user(request.user))
    except Problem as problem:
        if problem.status >= 500:
            raise
        context["wrong"] = list(dict.fromkeys(many.errors(problem).values()))
    return render(request, "dispatch/_count.html", context)


def _prefilled(request: HttpRequest) -> tuple[Typed, bool]:
    """Return the first values, and whether they go before what the browser remembers."""
    actor = Actor.of_user(request.user)
    if request.GET.get("then") == Kind.IMG2IMG:
        return img2img_after(request.GET.get("job", ""), actor), True
    if job_id := request.GET.get("from"):
        job = services.find(id_of(job_id), actor)
        return Typed.of_job(job, same_seed=request.GET.get("seed") != "new"), True
    if preset_id := request.GET.get("preset"):
        return Typed.of_preset(presets.find(id_of(preset_id), actor)), False
    if image_id := request.GET.get("init"):
        image = Image.objects.visible_to(actor).filter(pk=id_of(image_id)).first()
        if image is None:
            raise NotFound("There is no such picture.", error="image_not_found")
        return Typed(start=Start(image=image)), False
    return Typed(), False


def _submit(request: HttpRequest) -> HttpResponse:
    form, many = PictureForm(request), ManyForm(request.POST)
    actor = Actor.of_user(request.user)
    try:
        order = form.order()
        if many.is_used:
            bulk = many.bulk(order, has_start=bool(form.typed.start))
            return _led_to(request, services.submit_bulk(bulk, actor))
        done = services.submit(order, actor)
    except Problem as problem:
        if problem.status >= 500:
            raise
        errors = many.errors(problem)
        if getattr(request, "htmx", False):  # what was typed stays as it is
            return refused(request, errors, _SLOTS)
        return _show(request, form.typed, True, many=many, errors=errors, status=422)
    except FileNotFoundError:
        raise NotFound(
            "A picture of the earlier job is not there any more.",
            hint="Choose another picture to start from.",
        ) from None
    place = done.queue_position
    text = "Sent." if place is None or place == 1 else f"Sent. It is number {place} in the queue."
    return go_to(request, reverse("queue"), " ".join([text, *done.warnings]))


def _led_to(request: HttpRequest, done: services.BatchSubmission) -> HttpResponse:
    """Send the browser to the card of a batch, which may stand far down in the queue."""
    if done.batch is None:
        return go_to(request, reverse("queue"), "These jobs were deleted since.")
    number = len(done.jobs)
    text = " ".join([f"Sent: {number} job{'' if number == 1 else 's'}.", *done.warnings])
    place = next((place for _, place in done.jobs if place is not None), 1)
    if place > WAITING_AT_MOST:
        return go_to(request, reverse("batch", args=[done.batch.pk]), text)
    # Before it are at most as many entries as jobs.
    shown = f"?shown={place}" if place > WAITING_SHOWN else ""
    return go_to(request, f"{reverse('queue')}{shown}#batch-{done.batch.pk}", text)


def refused(request: HttpRequest, errors: dict[str, str], slots: Sequence[str]) -> HttpResponse:
    """Answer a form of an open page with nothing but the errors, each to its field."""
    context = {"errors": errors, "slots": slots}
    return render(request, "dispatch/_new_errors.html", context, status=422)


def _show(
    request: HttpRequest,
    typed: Typed,
    prefilled: bool,
    *,
    many: ManyForm | None = None,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    actor = Actor.of_user(request.user)
    servers = list(Server.objects.filter(enabled=True).order_by("alias"))
    have = merged()
    context: dict[str, Any] = {
        "page": "new",
        "typed": typed,
        "v": {**typed.values, **typed.when.values},
        "start": typed.start,
        "labels": LABELS,
        "prefilled": prefilled,
        "errors": errors or {},
        "once": uuid.uuid4().hex,
        "servers": servers,
        "presets": presets.visible(actor).order_by("name")[:_PRESETS],
        "loras": choices(have.loras, "", servers),
        "folders": _folders(have),
        "all_folders": ALL_FOLDERS,
        "many": many or ManyForm(QueryDict()),
        "seed_variations": _SEEDS,
        "priorities": PRIORITIES,
        "lanes": LANES,
        "on_failure": ON_FAILURE,
        "needs": needs_shown(typed.when.needs, actor),
        **{
            name: choices(getattr(have, name), typed.values.get(field, ""), servers)
            for name, field in {
                "checkpoints": "checkpoint",
                "samplers": "sampler",
                "schedulers": "scheduler",
            }.items()
        },
    }
    return render(request, "dispatch/new.html", context, status=status)


def _folders(have: MergedInventory) -> list[str]:
    """Return the folders that checkpoints are in, each once, as servers write them."""
    found: set[str] = set()
    for entry in have.checkpoints:
        *folders, _ = entry.name.replace("\\", "/").split("/")
        found |= {"/".join(folders[: depth + 1]) for depth in range(len(folders))}
    return sorted(found, key=str.lower)


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
