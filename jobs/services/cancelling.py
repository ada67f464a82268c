"""Cancelling many jobs at once, and clearing away those that ended; both can be undone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apikeys.actors import Actor
from jobs import chains, events, transitions, wording
from jobs.choices import FINAL, Status
from jobs.models import Job, Undo, hold_queue
from jobs.ports import ports
from jobs.querysets import JobQuerySet
from jobs.services import undo
from mobilesd.errors import InvalidInput, NotFound, bad_field
from mobilesd.sqlite import write_turn

__all__ = [
    "CLEARED",
    "MANY",
    "Skipped",
    "Taken",
    "also_taken",
    "cancel_all",
    "cancel_jobs",
    "cancel_many",
    "check_many",
    "clear_finished",
    "hide",
    "skipped",
    "visible_of",
]

MANY = 1_000  # jobs that one request names, as a bulk makes
# Jobs changed in one transaction: a lane that waits for the write lock must not look dead.
AT_ONCE = 500
CLEARED = 20_000  # finished jobs that one request hides: more are more than an undo can name

_UNFINISHED = (Status.PENDING, Status.PROCESSING)


@dataclass(frozen=True)
class Skipped:
    """A named job that was left alone: its state, "" if there is no such job for this actor."""

    job: UUID
    status: str


@dataclass(frozen=True)
class Taken:
    """What was taken away, and by what it can be brought back; None if nothing was.

    `complete` false: there is more of it, for another request. `also` are the waiting jobs, beside
    these, that depend on them and so can't be made.
    """

    count: int
    undo: Undo | None = None
    skipped: Sequence[Skipped] = field(default=())
    complete: bool = True
    also: Sequence[UUID] = field(default=())


def also_taken(job_ids: Sequence[UUID], actor: Actor) -> list[UUID]:
    """Return which other waiting jobs, of those that the actor may see, cancelling these takes."""
    return visible_of(chains.taken_along(job_ids), actor)


def visible_of(job_ids: list[UUID], actor: Actor) -> list[UUID]:
    """Return those of these jobs that the actor may see, in their order."""
    if actor.sees_all_jobs:
        return job_ids
    seen: set[UUID] = set()
    for some in _chunks(job_ids):
        visible = Job.objects.visible_to(actor).filter(pk__in=some)
        seen.update(visible.values_list("pk", flat=True))
    return [job_id for job_id in job_ids if job_id in seen]


def check_many(job_ids: Sequence[UUID]) -> list[UUID]:
    """Return the ids, each once, in their order; raise InvalidInput for none or too many."""
    found = list(dict.fromkeys(job_ids))
    if not found:
        raise bad_field("jobs", "is empty.", "Name at least one job.")
    if len(found) > MANY:
        raise InvalidInput(
            f"These are {len(found)} jobs. The limit is {MANY} in one request.",
            fields={"jobs": [f"has more than {MANY} entries."]},
            hint="Send several requests.",
        )
    return found


def skipped(job_ids: Sequence[UUID], done: Sequence[UUID], actor: Actor) -> list[Skipped]:
    """Return those of the named jobs that nothing was done to, with the state they have."""
    left = set(job_ids) - set(done)
    if not left:
        return []
    states = dict(
        Job.objects.visible_to(actor).listed().filter(pk__in=left).values_list("pk", "status")
    )
    return [Skipped(pk, states.get(pk, "")) for pk in job_ids if pk in left]


def cancel_many(job_ids: Sequence[UUID], actor: Actor, *, dry_run: bool = False) -> Taken:
    """Cancel those of these jobs that wait or run, final at once.

    The others are named in `skipped` and stand in nobody's way. With `dry_run` nothing is changed:
    the answer says what would be. Raises InvalidInput.
    """
    named = check_many(job_ids)
    known = Job.objects.visible_to(actor).listed().filter(pk__in=named)
    ids = list(known.values_list("pk", flat=True))
    at = timezone.now()
    taken = cancel_jobs(ids, actor, "cancel", at=at, dry_run=dry_run)
    done = known.filter(status__in=_UNFINISHED)
    if not dry_run:
        done = Job.objects.filter(pk__in=named, status=Status.CANCELLED, finished_at=at)
    left = skipped(named, list(done.values_list("pk", flat=True)), actor)
    return replace(taken, skipped=left)


def cancel_jobs(
    job_ids: Sequence[UUID],
    actor: Actor,
    action: str,
    *,
    running: bool = True,
    at: datetime | None = None,
    dry_run: bool = False,
) -> Taken:
    """Cancel these jobs as far as they wait or, unless told not to, run; count them.

    In short transactions: after a crash the rest goes on as it was. Who may see them was asked.
    With `dry_run` they are only counted.
    """
    at = at or timezone.now()
    also = also_taken(job_ids, actor)  # before: what comes to nothing takes nobody along any more
    if dry_run:
        statuses = _UNFINISHED if running else (Status.PENDING,)
        left = (Job.objects.listed().filter(pk__in=ids) for ids in _chunks(job_ids))
        return Taken(sum(jobs.filter(status__in=statuses).count() for jobs in left), also=also)

    def cancel(ids: Sequence[UUID]) -> int:
        # All rows before the first event: a lane may hold one of them and wait for the event's
        # lock, or put one back into the queue between two looks.
        left = Job.objects.listed().filter(pk__in=ids, status__in=_UNFINISHED)
        held = list(left.order_by("pk").select_for_update(no_key=True).values_list("pk", "status"))
        count = transitions.cancel_pending(
            [pk for pk, status in held if status == Status.PENDING], at=at
        )
        if running:
            owned = [pk for pk, status in held if status == Status.PROCESSING]
            count += sum(transitions.cancel(pk, at=at) for pk in owned)
        return count

    return replace(_take("ended", job_ids, actor, action, at, cancel), also=also)


def _take(
    kind: undo.Kind,
    job_ids: Sequence[UUID],
    actor: Actor,
    action: str,
    at: datetime,
    work: Callable[[Sequence[UUID]], int],
) -> Taken:
    count, row = 0, None
    for ids in _chunks(job_ids):
        with write_turn(), transaction.atomic():
            hold_queue()
            done = work(ids)
            if done and row is None:
                # With all of them, written once: what does not happen to the rest does no harm.
                row = undo.remember(actor, action, undo.state_of(kind, job_ids, at))
            elif done and row is not None:
                undo.renew(row)
            count += done
    return Taken(count, row)


def _chunks(ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    for start in range(0, len(ids), AT_ONCE):
        yield ids[start : start + AT_ONCE]


def cancel_all(
    actor: Actor, *, server: str = "", app_type: str = "", dry_run: bool = False
) -> Taken:
    """Cancel the jobs of this actor that wait now. What runs is left alone.

    `server` names those meant for it, `app_type` those of it; both together, those that are both.
    What was submitted meanwhile stays. With `dry_run` nothing is changed. Raises NotFound or
    InvalidInput for what there is none of.
    """
    waiting = Job.objects.visible_to(actor).filter(
        status=Status.PENDING, deleted_at__isnull=True, created_at__lte=timezone.now()
    )
    if app_type:
        known = ports.servers.app_types()
        if app_type not in known:
            raise bad_field(
                "app_type", f"must be one of {', '.join(known)}, not {app_type[:60]!r}."
            )
        waiting = waiting.filter(app_type=app_type)
    if server:
        waiting = waiting.filter(target_server_alias=server)
        # A server that was removed may still have jobs that name it.
        if ports.servers.app_type_of(server) is None and not waiting.exists():
            raise NotFound(f"There is no server {server[:64]!r}.", error="server_not_found")
    ids = list(waiting.order_by("pk").values_list("pk", flat=True))
    return cancel_jobs(ids, actor, "clear", running=False, dry_run=dry_run)


def clear_finished(actor: Actor, statuses: Sequence[str] = FINAL) -> Taken:
    """Hide the jobs of this actor that ended in one of these states; their pictures stay.

    What ends meanwhile stays. Raises InvalidInput for a state that is none.
    """
    for status in statuses:
        if status not in FINAL:
            words = ", ".join(FINAL)
            raise bad_field("statuses", f"may hold {words}, not {status[:60]!r}.")
    gone = Job.objects.visible_to(actor).listed().filter(status__in=statuses)
    # The oldest first, as they are deleted one request after the other.
    ids = list(gone.order_by("created_at", "pk").values_list("pk", flat=True)[: CLEARED + 1])
    at = timezone.now()
    taken = _take(
        "deleted", ids[:CLEARED], actor, "clear_finished", at, lambda some: hide(some, at)
    )
    return replace(taken, complete=len(ids) <= CLEARED)


def hide(job_ids: Sequence[UUID], at: datetime) -> int:
    """Hide those of these jobs that do not run, inside the caller's transaction; count them."""
    here: JobQuerySet = Job.objects.listed().filter(pk__in=job_ids)
    rows = here.exclude(status=Status.PROCESSING).order_by("pk").select_for_update(no_key=True)
    jobs = list(rows.only("pk", "owner_id", "status"))
    ids = [job.pk for job in jobs]
    if jobs:
        Job.objects.filter(pk__in=ids).update(deleted_at=at, updated_at=at)
        events.emit_for_jobs("job.deleted", [(job, {"job": str(job.pk)}) for job in jobs])
        wording.remove(ids)
        transitions.announce_gone([job.pk for job in jobs if job.status == Status.PENDING])
    return len(jobs)
