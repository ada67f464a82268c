"""The page of presets."""

import json
from datetime import datetime
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
from jobs.live.replay import standing
from jobs.models import Preset
from jobs.pages.actions import undo_of
from jobs.services import presets as rows
from mobilesd.errors import InvalidInput, Problem, bad_field
from mobilesd.http.codec import decode
from mobilesd.http.pages import acted, go_to

__all__ = [
    "delete",
    "edit",
    "export",
    "import_presets",
    "presets",
    "save",
    "save_job",
    "sent_file",
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
        "description": request.POST.get("preset_description", ""),
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
    description = request.POST.get("preset_description", "")
    problem = None
    if request.method == "POST":
        params, app_type = rows.params_of_job(job.pk, actor)
        given = {
            "name": name,
            "description": description,
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
    context = {
        "page": "presets",
        "job": job,
        "name": name,
        "description": description,
        "problem": problem,
    }
    return render(request, "presets/save_job.html", context, status=422 if problem else 200)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, preset_id: UUID) -> HttpResponse:
    """Change a preset: its name, what it is for, and its parameters as JSON."""
    actor = _actor(request)
    preset = rows.changeable(preset_id, actor)
    if request.method != "POST":
        return _edit_form(request, preset, _shown_values(preset))
    typed = {name: request.POST.get(name, "") for name in _EDITED}
    try:
        changes = _changes(request, typed)
        if changes:
            rows.change(preset_id, actor, changes, unchanged_since=_as_of(request))
    except Problem as problem:
        if problem.status not in (400, 409, 422):
            raise
        return _edit_form(request, preset, typed, problem)
    words = "The preset is changed." if changes else "As it was."
    return go_to(request, reverse("presets"), words)


_EDITED = ("name", "description", "parameters")


def _as_of(request: HttpRequest) -> datetime | None:
    try:
        return datetime.fromisoformat(request.POST.get("as_of", ""))
    except ValueError:
        return None


def _shown_values(preset: Preset) -> dict[str, str]:
    text = json.dumps(preset.generation_params, indent=2, ensure_ascii=False)
    return {"name": preset.name, "description": preset.description, "parameters": text}


def _changes(request: HttpRequest, typed: dict[str, str]) -> dict[str, Any]:
    """Return what is not as the form showed it at first; a browser sends lines with CR LF."""
    changed: dict[str, Any] = {
        name: text
        for name, text in typed.items()
        if text.splitlines() != request.POST.get(f"was_{name}", "").splitlines()
    }
    if "parameters" in changed:
        try:
            changed["generation_params"] = json.loads(changed.pop("parameters"))
        except (ValueError, RecursionError) as wrong:
            where = f"in line {wrong.lineno}" if isinstance(wrong, json.JSONDecodeError) else "here"
            raise bad_field(
                "generation_params", f"must be JSON; it can't be read {where}.", "Correct it."
            ) from None
    return changed


def _edit_form(
    request: HttpRequest, preset: Preset, typed: dict[str, str], problem: Problem | None = None
) -> HttpResponse:
    errors: dict[str, str] = {}
    for path, texts in (problem.fields if problem else {}).items():
        field = "parameters" if path.startswith("generation_params") else path
        # Below a field's label a sentence begins with "It"; one parameter of many keeps its name.
        said = [text if "." in path else text.replace(f"{path} ", "It ", 1) for text in texts]
        errors[field] = " ".join([errors.get(field, ""), *said]).strip()
    was = {name: request.POST.get(f"was_{name}", typed[name]) for name in _EDITED}
    context = {
        "page": "presets",
        "preset": preset,
        "typed": typed,
        "was": was,
        "as_of": request.POST.get("as_of", preset.updated_at.isoformat()),
        "errors": errors,
        "problem": problem,
    }
    return render(request, "presets/edit.html", context, status=422 if problem else 200)


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
    content = sent_file(request, "Choose a file of presets first.")
    policy = request.POST.get("on_conflict", "refuse")
    done = rows.import_document(_actor(request), decode(content), on_conflict=policy)
    parts = [
        (len(done.made), "new"),
        (len(done.replaced), "replaced"),
        (len(done.unchanged), "here already"),
    ]
    text = ", ".join(f"{count} {words}" for count, words in parts if count)
    return go_to(request, reverse("presets"), f"Presets: {text}.")


def sent_file(request: HttpRequest, otherwise: str) -> bytes:
    """Return the file of a form; raise InvalidInput for none (`otherwise`) or too large a one."""
    file: UploadedFile[Any] | None = request.FILES.get("file")
    if file is None:
        raise InvalidInput(otherwise, error="missing_required_field")
    if (file.size or 0) > settings.MAX_BODY_BYTES:
        raise InvalidInput("The file has more than 64 MB.", error="payload_too_large")
    content: bytes = file.read()
    return content
