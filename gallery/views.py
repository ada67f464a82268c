"""The page of a job with its pictures, the page of one picture, and choosing an earlier one."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from apikeys.actors import Actor
from gallery.models import Image
from jobs.cards import cards
from jobs.live.replay import standing
from jobs.models import Job
from mobilesd.http.paging import PageRequest, paginate

__all__ = ["image", "job", "pick"]

PICKED_SHOWN = 30

# Parameters with names that people know, in the order in which they are shown.
_LABELS = {
    "checkpoint_name": "Checkpoint",
    "size": "Size",
    "steps": "Steps",
    "cfg_scale": "CFG scale",
    "distilled_cfg_scale": "Distilled CFG scale",
    "sampler_name": "Sampler",
    "scheduler": "Scheduler",
    "seed": "Seed",
    "subseed": "Variation seed",
    "subseed_strength": "Variation strength",
    "n_iter": "Batches",
    "batch_size": "Batch size",
    "denoising_strength": "Denoising",
    "clip_skip": "Clip skip",
    "vae": "VAE",
    "enable_hr": "Hires fix",
    "hr_scale": "Hires scale",
    "hr_upscaler": "Hires upscaler",
    "hr_second_pass_steps": "Hires steps",
    "loras": "LoRAs",
    "init_images": "Start picture",
    "mask": "Mask",
    "refiner_checkpoint": "Refiner",
    "refiner_switch_at": "Refiner switch",
}
_PROMPTS = {"positive_prompt", "negative_prompt"}
_LONG = 300


@login_required
@require_safe
def job(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Show a job: its pictures or how far it is, what was asked for, its attempts."""
    stands = standing()
    visible = Job.objects.visible_to(Actor.of_user(request.user)).listed()
    card = cards([get_object_or_404(visible, pk=job_id)])[0]
    images = list(card.job.images.order_by("index"))
    context = {
        "page": "queue",
        "standing": stands,
        "card": card,
        "job": card.job,
        "images": [image for image in images if not image.rejected],
        "rejected": [image for image in images if image.rejected],
        "parameters": _rows(card.job.generation_params),
        "negative": card.job.generation_params.get("negative_prompt", ""),
        "attempts": card.job.attempts.order_by("number"),
    }
    part = getattr(request, "htmx", False)
    return render(request, "gallery/_job.html" if part else "gallery/job.html", context)


@login_required
@require_safe
def image(request: HttpRequest, image_id: UUID) -> HttpResponse:
    """Show one picture: on its job's page, or by itself when the job is gone."""
    found = get_object_or_404(_pictures(request), pk=image_id)
    owner = found.job
    if owner is not None and owner.deleted_at is None and not found.rejected:
        return redirect(f"{reverse('job', args=[owner.pk])}#picture-{found.pk}")
    context = {
        "page": "queue",
        "images": [found],
        "prompt": found.parameters.get("positive_prompt", ""),
        "negative": found.parameters.get("negative_prompt", ""),
        "parameters": _rows(found.parameters),
    }
    return render(request, "gallery/picture.html", context)


@login_required
@require_safe
def pick(request: HttpRequest) -> HttpResponse:
    """List earlier pictures to choose one as the start of a new one."""
    if not getattr(request, "htmx", False):
        raise Http404("This is a part of a page.")
    wanted = PageRequest.read({"limit": str(PICKED_SHOWN), "cursor": request.GET.get("cursor", "")})
    page = paginate(_pictures(request).results(), wanted)
    context = {"images": page.rows, "next_cursor": page.next_cursor, "first": not wanted.after}
    return render(request, "gallery/_pick.html", context)


def _pictures(request: HttpRequest) -> Any:
    return Image.objects.visible_to(Actor.of_user(request.user))


def _rows(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the parameters as label and text, the well-known ones first."""
    if "width" in params and "height" in params:
        sides = {"size": f"{params['width']} × {params['height']}"}
        params = {**sides, **{k: v for k, v in params.items() if k not in ("width", "height")}}
    known = [(label, params[name]) for name, label in _LABELS.items() if name in params]
    rest = [
        (name.replace("_", " "), value)
        for name, value in params.items()
        if name not in _LABELS and name not in _PROMPTS
    ]
    return [(label, _text(value)) for label, value in [*known, *rest] if value not in (None, "")]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        if "$input" in value:
            return f"{value.get('mime', 'file')}, {_size(value.get('bytes'))}"
        if set(value) <= {"name", "weight", "hash"} and "name" in value:
            return f"{value['name']} × {value.get('weight', 1)}"
        return _cut(", ".join(f"{key}: {_text(inner)}" for key, inner in value.items()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _cut(", ".join(_text(inner) for inner in value) or "none")
    return _cut(str(value))


def _size(count: object) -> str:
    if not isinstance(count, int):
        return "?"
    return f"{count / 1_048_576:.1f} MB" if count >= 1_048_576 else f"{count / 1024:.0f} kB"


def _cut(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"
