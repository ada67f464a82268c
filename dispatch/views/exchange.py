"""The queue as a file, on the page: what would be written or taken in, and doing it."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from apikeys.actors import Actor
from dispatch.views.presets import sent_file
from jobs.exchange import Intake, exported, read_document, read_lines
from mobilesd.http.codec import decode
from mobilesd.http.pages import acted, go_to

__all__ = ["export", "export_file", "import_queue"]

_NOTES = 3  # that a toast can show
_LEFT_OUT = 100


@login_required
@require_safe
def export(request: HttpRequest) -> HttpResponse:
    """Say what a file of the queue would hold and leave out, before it is saved."""
    found = exported(Actor.of_user(request.user))
    context = {
        "page": "presets",
        "jobs": found.jobs,
        "bytes": len(found.content),
        "left_out": found.left_out[:_LEFT_OUT],
        "left_out_count": len(found.left_out),
    }
    return render(request, "presets/export_queue.html", context)


@login_required
@require_safe
def export_file(request: HttpRequest) -> HttpResponse:
    """Send the waiting jobs as a file."""
    found = exported(Actor.of_user(request.user))
    answer = HttpResponse(found.content, content_type="application/json")
    answer.headers["Content-Disposition"] = 'attachment; filename="mobilesd-queue.json"'
    return answer


@login_required
@require_POST
def import_queue(request: HttpRequest) -> HttpResponse:
    """Take in a file of waiting jobs, or only say what would become of it."""
    content = sent_file(request, "Choose a file of a queue first.")
    dry_run = request.POST.get("dry_run") == "1"
    if b'"queue-lines"' in content[:4096]:
        reading, incoming = read_lines(content.splitlines())
    else:
        reading, incoming = read_document(decode(content))
    taken = Intake(Actor.of_user(request.user)).take(incoming, reading.batches, dry_run=dry_run)
    parts = [(len(taken.made), "new"), (len(taken.already_here), "here already")]
    text = ", ".join(f"{count} {words}" for count, words in parts if count) or "none"
    notes = [*reading.expired, *taken.warnings]
    more = f"And {len(notes) - _NOTES} more remarks." if len(notes) > _NOTES else ""
    said = " ".join([f"Jobs: {text}.", *notes[:_NOTES], more]).strip()
    if dry_run:
        return acted(request, f"{said} Nothing was taken.", reverse("presets"))
    return go_to(request, reverse("queue"), said)
