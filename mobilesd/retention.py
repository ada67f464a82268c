"""How long things are kept: rules by age, count and size, off until somebody switches them on.

What waits or runs is never touched, nor what a waiting job needs. Files go by the collectors, once
no row names them (protocol rule 22).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, Sum, Window
from django.db.models.functions import Cast, Length
from django.utils import timezone

from apikeys.models import Access
from gallery.models import Image
from jobs import events, wording
from jobs.choices import FINAL
from jobs.models import Event, Job, JobDependency, JobInput, Retention
from mobilesd.sqlite import write_turn

__all__ = ["KINDS", "Figure", "Kind", "apply", "apply_active", "figure", "rules"]

GIGABYTE = 10**9
# Pages that slept may ask for events of so long ago (design §9).
LEAST_EVENT_DAYS = 7
_AT_ONCE = 100
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Kind:
    """One kind of thing: what of it may go, when it came to be, and how large it is."""

    name: str
    label: str
    rows: Callable[[], models.QuerySet[Any]]
    at: str
    size: Any
    delete: Callable[[Sequence[Any]], None]


@dataclass(frozen=True)
class Figure:
    """What a rule would delete now."""

    count: int
    bytes: int


# --- The kinds ----------------------------------------------------------------------------


def _needed(parent: str) -> Exists:
    """Tell whether a job that waits or runs takes something from this one."""
    waiting = JobDependency.objects.filter(parent=OuterRef(parent))
    return Exists(waiting.exclude(job__status__in=FINAL))


def _jobs() -> models.QuerySet[Job]:
    ended = Job.objects.listed().filter(status__in=FINAL, finished_at__isnull=False)
    return ended.filter(~_needed("pk"))


def _delete_jobs(ids: Sequence[Any]) -> None:
    """Hide them, as a person does; they are purged after the undo time."""
    now = timezone.now()
    jobs = list(_jobs().filter(pk__in=ids).only("pk", "owner_id"))
    found = [job.pk for job in jobs]
    Job.objects.filter(pk__in=found).update(deleted_at=now, updated_at=now)
    events.emit_for_jobs("job.deleted", [(job, {"job": str(job.pk)}) for job in jobs])
    wording.remove(found)


def _pictures() -> models.QuerySet[Image]:
    free = Q(job__isnull=True) | (Q(job__status__in=FINAL) & ~_needed("job"))
    return Image.objects.filter(free)


def _inputs() -> models.QuerySet[JobInput]:
    return JobInput.objects.filter(job__status__in=FINAL, job__finished_at__isnull=False)


def _events() -> models.QuerySet[Event]:
    old = timezone.now() - timedelta(days=LEAST_EVENT_DAYS)
    free = Q(job__isnull=True) | Q(job__status__in=FINAL)
    return Event.objects.filter(free, at__lt=old)


def _deleting(rows: Callable[[], models.QuerySet[Any]]) -> Callable[[Sequence[Any]], None]:
    def delete(ids: Sequence[Any]) -> None:
        rows().filter(pk__in=ids).delete()

    return delete


def _length(name: str) -> Length:
    return Length(Cast(name, models.TextField()))


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "jobs",
            "Jobs that have ended",
            _jobs,
            "finished_at",
            _length("generation_params"),
            _delete_jobs,
        ),
        Kind("pictures", "Pictures", _pictures, "created_at", F("bytes"), _deleting(_pictures)),
        Kind(
            "inputs",
            "Start pictures and masks of jobs that have ended",
            _inputs,
            "job__finished_at",
            F("bytes"),
            _deleting(_inputs),
        ),
        Kind(
            "events",
            "History of jobs that have ended",
            _events,
            "at",
            _length("payload"),
            _deleting(_events),
        ),
        Kind(
            "logs",
            "Access log",
            Access.objects.all,
            "at",
            _length("route"),
            _deleting(Access.objects.all),
        ),
    )
}


# --- Rules --------------------------------------------------------------------------------


def rules() -> list[tuple[Kind, Retention]]:
    """Return each kind with its rule; one that was never set is off."""
    there = Retention.objects.in_bulk()
    return [(kind, there.get(name) or Retention(kind=name)) for name, kind in KINDS.items()]


def _doomed(rule: Retention) -> models.QuerySet[Any]:
    """Return what is beyond any of the rule's limits now."""
    kind = KINDS[rule.kind]
    rows = kind.rows()
    newest_first = [F(kind.at).desc(), F("pk").desc()]
    beyond = Q(pk__in=[])
    if rule.days is not None:
        beyond |= Q(**{f"{kind.at}__lt": timezone.now() - timedelta(days=rule.days)})
    ordered = rows.order_by(*newest_first)
    if rule.most is not None:
        beyond |= _from(kind, ordered.values_list(kind.at, "pk")[rule.most : rule.most + 1])
    if rule.gigabytes is not None:
        running = Window(Sum(kind.size), order_by=newest_first)
        over = ordered.annotate(running=running).filter(running__gt=rule.gigabytes * GIGABYTE)
        beyond |= _from(kind, over.values_list(kind.at, "pk")[:1])
    return rows.filter(beyond)


def _from(kind: Kind, first: Any) -> Q:
    """Return the condition of the first row that is too much, and all that are older."""
    for at, pk in first:
        return Q(**{f"{kind.at}__lt": at}) | Q(**{kind.at: at, "pk__lte": pk})
    return Q(pk__in=[])


def figure(rule: Retention) -> Figure:
    """Return what the rule would delete now, switched on or not."""
    found = _doomed(rule).aggregate(count=Count("pk"), bytes=Sum(KINDS[rule.kind].size))
    return Figure(found["count"], int(found["bytes"] or 0))


def apply(rule: Retention) -> int:
    """Delete what is beyond the limits, oldest first, in short transactions; return how many.

    A lane that waits for the write lock must not look dead.
    """
    kind = KINDS[rule.kind]
    ids = list(_doomed(rule).order_by(kind.at, "pk").values_list("pk", flat=True))
    for start in range(0, len(ids), _AT_ONCE):
        with write_turn(), transaction.atomic():
            kind.delete(ids[start : start + _AT_ONCE])  # asks again whether each may go
        time.sleep(_PAUSE_SECONDS)
    return len(ids)


def apply_active() -> None:
    """Apply the rules that are switched on; part of the housekeeping."""
    for _, rule in rules():
        if rule.is_active:
            apply(rule)
