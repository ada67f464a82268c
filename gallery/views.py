"""The page of one picture, and choosing an earlier one."""

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from apikeys.actors import Actor
from gallery.facts import facts
from gallery.models import Image
from mobilesd.http.paging import PageRequest, paginate

__all__ = ["image", "pick"]

PICKED_SHOWN = 30


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
        "parameters": facts(found.parameters),
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
