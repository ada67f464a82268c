"""What is done with all that is selected or dragged, and with a batch."""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from jobs import services
from jobs.choices import LaneClass
from jobs.models import Job
from jobs.pages.actions import actor_of, asks, count, done, taken, takes
from jobs.pages.entries import waiting_of
from jobs.services import planning
from jobs.services.cancelling import MANY
from mobilesd.errors import Conflict, InvalidInput

__all__ = ["apply_plan", "cancel_batch", "many", "move", "nod", "retry_batch"]


def _jobs(request: HttpRequest, keys: Sequence[str]) -> list[UUID]:
    return waiting_of(Job.objects.visible_to(actor_of(request)).queued(), keys)


def _picked(request: HttpRequest) -> list[UUID]:
    """Return the waiting jobs that were picked; raise Conflict for none, InvalidInput for many."""
    keys = request.POST.getlist("pick")
    found = _jobs(request, keys[: MANY + 1])
    if not keys:
        raise Conflict("Nothing is selected.", hint="Select some jobs first.")
    if not found:
        raise Conflict("Nothing of that waits any more.", hint="It may have started meanwhile.")
    if len(found) > MANY:
        raise InvalidInput(
            f"These are more than {MANY} jobs.",
            error="job_operation_invalid",
            hint="Select fewer at once.",
        )
    return found


@login_required
@require_POST
def move(request: HttpRequest) -> HttpResponse:
    """Put entries of the waiting list before or after another one, or to an end."""
    jobs = _picked(request)
    return _moved(request, jobs, _goal(request, jobs), "")


def _moved(
    request: HttpRequest, jobs: Sequence[UUID], goal: services.Goal, where: str
) -> HttpResponse:
    moved = services.move_many(jobs, goal, actor_of(request))
    if not moved.jobs:
        raise Conflict("Nothing of that waits any more.", hint="It may have started meanwhile.")
    what = "Moved" if len(moved.jobs) == 1 else f"{count(len(moved.jobs))} moved"
    return done(request, f"{what}{where}.{_taken_over(moved)}")


def _taken_over(moved: services.Moved) -> str:
    """Return what else changed by a move, as a sentence: nobody asked for it in so many words."""
    taken = moved.taken
    if taken is None:
        return ""
    lane = ", in the background" if taken.lane_class == LaneClass.BACKGROUND else ""
    if len(moved.jobs) == 1:
        return f" Its priority is {taken.priority} now{lane}."
    who = f"Their priority is {taken.priority} now{lane}."
    if taken.count < len(moved.jobs):
        who = f"{taken.count} of them changed to priority {taken.priority}{lane}."
    return f" {who}"


def _goal(request: HttpRequest, moved: Sequence[UUID]) -> services.Goal:
    if request.POST.get("to") == "top":
        return services.Goal("first")
    if request.POST.get("to") == "bottom":
        return services.Goal("last")
    if key := request.POST.get("before"):
        return services.Goal("before", _beside(request, key, moved)[0])
    if key := request.POST.get("after"):
        return services.Goal("after", _beside(request, key, moved)[-1])
    raise InvalidInput("Say where to move it.", error="job_operation_invalid")


def _beside(request: HttpRequest, key: str, moved: Sequence[UUID]) -> list[UUID]:
    found = [job for job in _jobs(request, [key]) if job not in moved]
    if not found:
        raise Conflict(
            "The job beside that place does not wait any more.",
            hint="It may have started meanwhile. Try again.",
        )
    return found


@login_required
@require_POST
def many(request: HttpRequest) -> HttpResponse:
    """Do something with all that is selected."""
    do = _WAYS.get(request.POST.get("do", ""))
    if do is None:
        raise InvalidInput("Say what to do with the selected jobs.", error="job_operation_invalid")
    if asks(request) and do is not _cancel:
        return takes(())
    return do(request, _picked(request))


def _to_top(request: HttpRequest, jobs: Sequence[UUID]) -> HttpResponse:
    return _moved(request, jobs, services.Goal("first"), " to the top")


def _to_bottom(request: HttpRequest, jobs: Sequence[UUID]) -> HttpResponse:
    return _moved(request, jobs, services.Goal("last"), " to the bottom")


def _cancel(request: HttpRequest, jobs: Sequence[UUID]) -> HttpResponse:
    gone = services.cancel_many(jobs, actor_of(request), dry_run=asks(request))
    them = "it" if gone.count == 1 else "them"
    if asks(request):
        return takes(gone.also, them)
    return done(request, f"{count(gone.count)} cancelled.{taken(gone.also, them)}", gone.undo)


def _prioritise(request: HttpRequest, jobs: Sequence[UUID]) -> HttpResponse:
    priority = _priority(request)
    changed = services.prioritise_many(jobs, priority, actor_of(request)).jobs
    return done(request, f"Priority {priority} for {count(len(changed))}.")


def _priority(request: HttpRequest) -> int:
    text = request.POST.get("priority", "")
    if not (text.isascii() and text.isdecimal() and len(text) < 4 and 1 <= int(text) <= 10):
        raise InvalidInput("Choose a priority from 1 to 10.", error="job_operation_invalid")
    return int(text)


_Way = Callable[[HttpRequest, Sequence[UUID]], HttpResponse]
_WAYS: Mapping[str, _Way] = {
    "top": _to_top,
    "bottom": _to_bottom,
    "priority": _prioritise,
    "cancel": _cancel,
}


@login_required
@require_POST
def apply_plan(request: HttpRequest) -> HttpResponse:
    """Put the queue into the order that the preview showed."""
    try:
        order = [UUID(text) for text in request.POST.get("order", "").split()]
    except ValueError:
        order = []
    if not order or len(order) > planning.MOST:
        raise InvalidInput("That is no plan of this queue.", error="job_operation_invalid")
    moved = planning.apply_order(order, actor_of(request))
    return done(request, f"{count(moved)} moved." if moved else "It stands like that already.")


# --- A batch ----------------------------------------------------------------------------------


@login_required
@require_POST
def cancel_batch(request: HttpRequest, batch_id: UUID) -> HttpResponse:
    """Cancel what waits or runs of a batch."""
    gone = services.cancel_batch(batch_id, actor_of(request), dry_run=asks(request))
    if asks(request):
        return takes(gone.also, "them")
    return done(request, f"{count(gone.count)} cancelled.{taken(gone.also, 'them')}", gone.undo)


@login_required
@require_POST
def retry_batch(request: HttpRequest, batch_id: UUID) -> HttpResponse:
    """Queue the jobs of a batch again that failed."""
    again = services.retry_batch(batch_id, actor_of(request))
    if not again.count and not again.left:
        raise Conflict("No job of this batch has failed.", hint="Somebody has retried them.")
    left = f" {count(len(again.left))} can't be made still." if again.left else ""
    words = f"{count(again.count)} back in the queue.{left}" if again.count else left.strip()
    return done(request, words, again.undo)


@login_required
@require_POST
def nod(request: HttpRequest, batch_id: UUID) -> HttpResponse:
    """Let the held rest of a batch run, or cancel it."""
    go = request.POST.get("go") == "true"
    gone = services.nod(batch_id, actor_of(request), go=go)
    if not gone.count:
        raise Conflict("Nothing of this batch is held any more.", hint="Somebody has decided it.")
    if go:
        return done(request, f"{count(gone.count)} may run now.")
    return done(request, f"{count(gone.count)} cancelled.{taken(gone.also, 'them')}", gone.undo)
