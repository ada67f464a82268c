"""What the buttons of the queue page do with single jobs, and with the queue as a whole."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from apikeys.actors import Actor
from jobs import services
from jobs.choices import Status
from jobs.models import Undo
from jobs.models.derived import separated
from jobs.services import queue as whole_queue
from jobs.services import undo as undoing
from jobs.services.changes import NewTimes
from mobilesd.errors import InvalidInput, Problem
from mobilesd.http.pages import acted, go_to

__all__ = [
    "WITHIN",
    "actor_of",
    "asks",
    "cancel",
    "cancel_waiting",
    "clear",
    "count",
    "delete",
    "done",
    "drop_loras",
    "duplicate",
    "only_staff",
    "retry",
    "send_to",
    "switch",
    "taken",
    "takes",
    "try_now",
    "undo",
    "undo_of",
    "wait_not",
]

# The deadlines that a retry offers, in hours from now.
WITHIN = {"1": "within an hour", "8": "within 8 hours", "24": "within a day"}


def actor_of(request: HttpRequest) -> Actor:
    """Return whose page it is."""
    return Actor.of_user(request.user)


def count(number: int) -> str:
    """Return a number of jobs in words."""
    return f"{number} job" if number == 1 else f"{number} jobs"


def undo_of(row: Undo | None) -> tuple[str, float] | None:
    """Return where a toast's Undo goes, and for how many seconds it is of use."""
    if row is None:
        return None
    left = (row.expires_at - timezone.now()).total_seconds()
    return reverse("undo", args=[row.pk]), round(max(0.0, left), 1)


def done(request: HttpRequest, text: str, row: Undo | None = None) -> HttpResponse:
    """Say what was done, with a button that takes it back."""
    return acted(request, text, reverse("queue"), undo_of(row))


def asks(request: HttpRequest) -> bool:
    """Tell whether the page only asks what else this would take, before it does it."""
    return request.GET.get("dry_run") == "1"


def takes(also: Sequence[UUID], them: str = "it") -> HttpResponse:
    """Answer the page what else would be taken, as a sentence; "" for nothing."""
    number = len(also)
    need = "needs" if number == 1 else "need"
    words = f"{count(number)} that {need} {them} can't be made then." if number else ""
    return JsonResponse({"words": words})


def taken(also: Sequence[UUID], them: str = "it") -> str:
    """Return the sentence on what else was taken, with a blank before it; "" for nothing."""
    return f" {count(len(also))} that needed {them} can't be made." if also else ""


# --- One job ----------------------------------------------------------------------------------


@login_required
@require_POST
def cancel(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Cancel a job, and say what else it took."""
    actor = actor_of(request)
    also = services.also_taken([job_id], actor)
    if asks(request):
        return takes(also)
    changed = services.cancel(job_id, actor)
    return done(request, f"Cancelled.{taken(also) if changed.undo else ''}", changed.undo)


@login_required
@require_POST
def retry(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Queue a failed or cancelled job again, with another deadline if one was chosen."""
    actor = actor_of(request)
    old = services.find(job_id, actor).deadline
    new = request.POST.get("seed") == "new"
    job = services.retry(job_id, actor, seed="new" if new else "same", **_within(request))
    words = "Back in the queue, with a new seed." if new else "Back in the queue."
    if old is not None and job.deadline is None:
        words += " Its deadline has passed, so it has none now."
    return done(request, words)


def _within(request: HttpRequest) -> NewTimes:
    """Read in how many hours a job has to begin; without the field its deadline stays."""
    text = request.POST.get("within", "")
    if not text:
        return {}
    if text not in WITHIN:
        raise InvalidInput("Choose one of the deadlines.", error="job_operation_invalid")
    return {"deadline": timezone.now() + timedelta(hours=int(text))}


@login_required
@require_POST
def try_now(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Try a job at once that is put off after an error."""
    services.try_now(job_id, actor_of(request))
    return done(request, "It is tried as soon as a server is free.")


@login_required
@require_POST
def duplicate(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Queue the same once more, as a job of its own."""
    new = request.POST.get("seed") == "new"
    once = request.POST.get("once", "")[:64]  # a doubled tap repeats it
    made = services.duplicate(
        job_id,
        actor_of(request),
        seed="new" if new else "same",
        idempotency_key=f"page:{once}" if once else "",
    )
    place = f" It is number {made.queue_position}." if made.queue_position else ""
    return done(request, f"Duplicated.{place}")


@login_required
@require_POST
def delete(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Delete a job, and say what else that took; its own page is left for the queue."""
    actor = actor_of(request)
    also = services.also_taken([job_id], actor)
    if asks(request):
        return takes(also)
    changed = services.delete(job_id, actor)
    words = f"Deleted.{taken(also)}"
    if request.POST.get("leave"):
        return go_to(request, reverse("queue"), words, undo_of(changed.undo))
    return done(request, words, changed.undo)


@login_required
@require_POST
def send_to(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Name the server for a waiting job, or let it be any."""
    alias = request.POST.get("server", "")
    services.patch(job_id, actor_of(request), {"target_server_alias": alias}, {})
    return done(request, f"It waits for {alias} now." if alias else "Any server may take it now.")


@login_required
@require_POST
def wait_not(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Let a waiting job run without one that it depends on."""
    try:
        parent = UUID(request.POST.get("parent", ""))
    except ValueError:
        raise InvalidInput(
            "Say which job it need not wait for.", error="job_operation_invalid"
        ) from None
    left = services.wait_no_more(job_id, parent, actor_of(request))
    more = f" It still waits for {count(left)}." if left else ""
    return done(request, f"It doesn't wait for that job any more.{more}")


@login_required
@require_POST
def drop_loras(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Let a waiting job run without LoRAs that its server lacks."""
    names = separated(request.POST.get("loras", ""))
    services.leave_out_loras(job_id, actor_of(request), names)
    return done(request, f"It will be made without {', '.join(names)[:200]}.")


# --- The queue as a whole ---------------------------------------------------------------------


def only_staff(request: HttpRequest) -> None:
    """Refuse what concerns everybody's jobs to who does not administrate."""
    if not request.user.is_staff:
        raise Problem(
            "Only staff may pause the queue, or change when it works.",
            error="scope_missing",
            hint="Ask somebody who administrates this MobileSD.",
        )


@login_required
@require_POST
def switch(request: HttpRequest) -> HttpResponse:
    """Pause or resume the queue, or one server or app type in it."""
    only_staff(request)
    server, app_type = request.POST.get("server", ""), request.POST.get("app_type", "")
    what = server or (f"The queue of {app_type} jobs" if app_type else "The queue")
    if request.POST.get("to") == "pause":
        whole_queue.pause(server=server, app_type=app_type)
        return done(request, f"{what} is paused. What is being made is finished.")
    whole_queue.resume(server=server, app_type=app_type)
    return done(request, f"{what} goes on.")


@login_required
@require_POST
def cancel_waiting(request: HttpRequest) -> HttpResponse:
    """Cancel all that waits, as far as its owner or the staff asks; what runs is left alone."""
    taken = services.cancel_all(actor_of(request))
    words = f"{count(taken.count)} cancelled." if taken.count else "Nothing waits any more."
    return done(request, words, taken.undo)


_CLEARED = {
    "ended": (Status.FAILED, Status.CANCELLED),
    "done": (Status.COMPLETED,),
}


@login_required
@require_POST
def clear(request: HttpRequest) -> HttpResponse:
    """Take the jobs that ended off the page; the pictures stay in the gallery."""
    statuses = _CLEARED.get(request.POST.get("what", ""))
    if statuses is None:
        raise InvalidInput("Say what to clear.", error="job_operation_invalid")
    gone = services.clear_finished(actor_of(request), statuses)
    more = "" if gone.complete else " There are more: clear again."
    return done(request, f"{count(gone.count)} cleared.{more}", gone.undo)


@login_required
@require_POST
def undo(request: HttpRequest, undo_id: UUID) -> HttpResponse:
    """Bring back what was just taken away."""
    undone = undoing.undo(undo_id, actor_of(request))
    words = undone.message if undone.restored else "It is back already."
    return done(request, words)
