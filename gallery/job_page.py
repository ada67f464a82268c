"""The page of a job: how it stands, what was asked for and done, and everything that happened."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from apikeys.actors import Actor
from gallery.differences import differences
from gallery.facts import facts
from gallery.models import Image
from jobs import services
from jobs.cards import cards
from jobs.choices import Outcome, Status
from jobs.infotext.asked import infotext_of
from jobs.live.replay import standing
from jobs.models import Job
from jobs.pages.actions import WITHIN
from jobs.ports import ports
from jobs.services.history import history_of
from jobs.sources import in_words
from mobilesd.logs import lines_about

__all__ = ["job", "log"]

LINES_SHOWN = 200
_MOST_COPIED = 64 * 1024  # in the page itself; the API has the rest


@login_required
@require_safe
def job(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Show a job."""
    stands = standing()
    found = _job(request, job_id)
    card = cards([found])[0]
    images = list(found.images.order_by("index"))
    history = history_of(job_id, Actor.of_user(request.user))
    waits = found.status == Status.PENDING
    context = {
        "page": "queue",
        "standing": stands,
        "card": card,
        "job": found,
        "again": waits and ports.servers.queue_forecast().misses([found]),
        **_pictures(images),
        "parameters": facts(found.generation_params),
        "source": in_words(found.source_info, found.api_key.name if found.api_key else ""),
        "negative": found.generation_params.get("negative_prompt", ""),
        "steps": history.steps(),
        "complete": history.complete,
        "attempts": len(history.attempts),
        # A round is a part of a try that went well.
        "tries": sum(each.outcome != Outcome.ROUND for each in history.attempts),
        "differences": differences(found, history.attempts, images),
        "deadlines": WITHIN,
        "takes": _takes(found, Actor.of_user(request.user)),
        "as_json": _as_json(found.generation_params),
        "as_infotext": _infotext(found, images),
    }
    part = getattr(request, "htmx", False)
    return render(request, "gallery/_job.html" if part else "gallery/job.html", context)


@login_required
@require_safe
def log(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Show the newest lines of the program's log about a job, to those who see all jobs.

    The lines name servers and, in errors, whatever a library says: no matter for every member.
    """
    found = _job(request, job_id)
    if not Actor.of_user(request.user).sees_all_jobs:
        return render(request, "gallery/_log.html", {"job": found, "allowed": False})
    folder = Path(settings.DATA_DIR) / "logs"
    lines = lines_about(
        folder, (str(found.pk), found.request_id), job=str(found.pk), most=LINES_SHOWN
    )
    context = {"job": found, "allowed": True, "log": lines}
    return render(request, "gallery/_log.html", context)


def _job(request: HttpRequest, job_id: UUID) -> Job:
    visible = Job.objects.visible_to(Actor.of_user(request.user)).listed()
    return get_object_or_404(visible.select_related("owner", "api_key"), pk=job_id)


def _takes(found: Job, actor: Actor) -> int:
    """Return how many others can't be made if this job is cancelled."""
    return 0 if found.is_final else len(services.also_taken([found.pk], actor))


def _pictures(images: Sequence[Image]) -> dict[str, list[Image]]:
    return {
        "images": [image for image in images if not image.rejected],
        "rejected": [image for image in images if image.rejected],
    }


def _as_json(params: Mapping[str, Any]) -> str:
    """Return the parameters to copy; a file is named by its kind, its hash is ours alone."""
    text = json.dumps(_shown(params), ensure_ascii=False, indent=2)
    return text if len(text) <= _MOST_COPIED else ""


def _shown(value: Any) -> Any:
    if isinstance(value, Mapping):
        if "$input" in value:
            return f"({value.get('mime', 'file')}, {value.get('bytes', '?')} bytes)"
        return {name: _shown(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shown(inner) for inner in value]
    return value


def _infotext(found: Job, images: Sequence[Image]) -> str:
    """Return what the first picture says of itself, or else what is asked for."""
    text = next((image.infotext for image in images if not image.rejected), "")
    text = text or infotext_of(found.generation_params)
    return text if len(text) <= _MOST_COPIED else ""
