"""The page of presets, and of the queue as a file."""

import json
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apikeys.actors import Actor
from dispatch.forms import PictureForm
from jobs import services
from jobs.api.presets import chosen
from jobs.exchange import Intake, read_document, read_lines
from jobs.live.replay import standing
from jobs.models import Preset
from jobs.pages.actions import undo_of
from jobs.services import presets as rows
from mobilesd.errors import InvalidInput, Problem
from mobilesd.http.codec import decode
from mobilesd.http.pages import acted, go_to

__all__ = [
    "delete",
    "export",
    "import_presets",
    "import_queue",
    "presets",
    "save",
    "save_job",
    "share",
]

_SHOWN = 500
# In the order in which they tell presets apart.
_TOLD = ("checkpoint_name", "sampler_name", "scheduler", "steps", "cfg_scale", "width", "height")


def _actor(request: HttpRequest) -> Actor:
    return Actor.of_user(request.user)


@login_required
@require_safe
def presets(request: HttpRequest) -> HttpResponse:
    """List the presets that one may use, as a page or, for a page that is open, as its part."""
    stands = standing()
    actor = _actor(request)
    found = rows.visible(actor).select_related("owner").order_by("name", "created_at")
    shown = [_card(row, actor) for row in found[:_SHOWN]]
    context = {
        "page": "presets",
        "standing": stands,
        "presets": shown,
        "has_own": any(one["own"] for one in shown),
    }
    part = getattr(request, "htmx", False)
    return render(request, "presets/_list.html" if part else "presets/list.html", context)


def _card(row: Preset, actor: Actor) -> dict[str, Any]:
    params = row.generation_params
    own = row.owner_id is not None and row.owner_id == actor.user_id
    whose = "the installation's" if row.owner is None else f"by {row.owner.get_username()}"
    others = [name for name in params if name not in {*_TOLD, "positive_prompt"}]
    return {
        "row": row,
        "own": own,
        "whose": "" if own else whose,
        "may_change": rows.may_change(row, actor),
        "prompt": str(params.get("positive_prompt", "")),
        "told": [(name, params[name]) for name in _TOLD if name in params],
        "others": others,
        "text": json.dumps(rows.document([row]), indent=2, ensure_ascii=False),
    }


@login_required
@require_POST
def save(request: HttpRequest) -> HttpResponse:
    """Save what the New page's form holds."""
    form = PictureForm(request)
    given = {
        "name": request.POST.get("preset_name", ""),
        "generation_params": form.preset_params(),
        "shared": request.POST.get("preset_shared") == "1",
    }
    preset = rows.create(_actor(request), given)
    return acted(request, f"Saved as “{preset.name}”.", reverse("presets"))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def save_job(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Ask for a name, and save a job's parameters under it."""
    actor = _actor(request)
    job = services.find(job_id, actor)
    name = request.POST.get("preset_name", "")
    problem = None
    if request.method == "POST":
        params, app_type = rows.params_of_job(job.pk, actor)
        given = {
            "name": name,
            "app_type": app_type,
            "generation_params": params,
            "shared": request.POST.get("preset_shared") == "1",
        }
        try:
            preset = rows.create(actor, given)
        except Problem as refused:
            problem = refused
        else:
            return go_to(request, reverse("presets"), f"Saved as “{preset.name}”.")
    context = {"page": "presets", "job": job, "name": name, "problem": problem}
    return render(request, "presets/save_job.html", context, status=422 if problem else 200)


@login_required
@require_POST
def share(request: HttpRequest, preset_id: UUID) -> HttpResponse:
    """Let everybody use a preset, or nobody else."""
    shared = request.POST.get("to") == "all"
    rows.change(preset_id, _actor(request), {"shared": shared})
    words = "Everybody here can use it now." if shared else "Only you can use it now."
    return acted(request, words, reverse("presets"))


@login_required
@require_POST
def delete(request: HttpRequest, preset_id: UUID) -> HttpResponse:
    """Delete a preset."""
    row = rows.delete(preset_id, _actor(request))
    return acted(request, "The preset is deleted.", reverse("presets"), undo_of(row))


@login_required
@require_safe
def export(request: HttpRequest) -> HttpResponse:
    """Send presets as a file, to pass on."""
    found = chosen(request.GET.getlist("id"), _actor(request))
    answer = JsonResponse(rows.document(found), json_dumps_params={"indent": 2})
    answer.headers["Content-Disposition"] = 'attachment; filename="mobilesd-presets.json"'
    return answer


@login_required
@require_POST
def import_presets(request: HttpRequest) -> HttpResponse:
    """Take in a file of presets."""
    content = _sent(request, "Choose a file of presets first.")
    policy = request.POST.get("on_conflict", "refuse")
    done = rows.import_document(_actor(request), decode(content), on_conflict=policy)
    parts = [
        (len(done.made), "new"),
        (len(done.replaced), "replaced"),
        (len(done.unchanged), "here already"),
    ]
    text = ", ".join(f"{count} {words}" for count, words in parts if count)
    return go_to(request, reverse("presets"), f"Presets: {text}.")


@login_required
@require_POST
def import_queue(request: HttpRequest) -> HttpResponse:
    """Take in a file of waiting jobs."""
    content = _sent(request, "Choose a file of a queue first.")
    if b'"queue-lines"' in content[:4096]:
        reading, incoming = read_lines(content.splitlines())
    else:
        reading, incoming = read_document(decode(content))
    taken = Intake(_actor(request)).take(incoming, reading.batches)
    parts = [(len(taken.made), "new"), (len(taken.already_here), "here already")]
    text = ", ".join(f"{count} {words}" for count, words in parts if count) or "none"
    notes = [*reading.expired, *taken.warnings]
    return go_to(request, reverse("queue"), " ".join([f"Jobs: {text}.", *notes[:3]]))


def _sent(request: HttpRequest, otherwise: str) -> bytes:
    file: UploadedFile[Any] | None = request.FILES.get("file")
    if file is None:
        raise InvalidInput(otherwise, error="missing_required_field")
    if (file.size or 0) > settings.MAX_BODY_BYTES:
        raise InvalidInput("The file has more than 64 MB.", error="payload_too_large")
    content: bytes = file.read()
    return content
