"""The kinds of things that rules may delete, and which of them are free to go."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Cast, Length
from django.utils import timezone

from apikeys.models import Access
from gallery.models import Image
from jobs import events, wording
from jobs.choices import FINAL
from jobs.models import Event, Job, JobDependency, JobInput
from mobilesd.retention.figures import Kind
from mobilesd.retention.files import LogFiles
from mobilesd.retention.rows import Rows

__all__ = ["KINDS"]

# Pages that slept may ask for events of so long ago (design §9).
LEAST_EVENT_DAYS = 7


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


_KINDS: Sequence[Kind] = (
    Rows(
        "jobs",
        "Jobs that have ended",
        _jobs,
        "finished_at",
        _length("generation_params"),
        _delete_jobs,
    ),
    Rows("pictures", "Pictures", _pictures, "created_at", F("bytes"), _deleting(_pictures)),
    Rows(
        "inputs",
        "Start pictures and masks of jobs that have ended",
        _inputs,
        "job__finished_at",
        F("bytes"),
        _deleting(_inputs),
    ),
    Rows(
        "events",
        "History of jobs that have ended",
        _events,
        "at",
        _length("payload"),
        _deleting(_events),
    ),
    Rows(
        "logs",
        "Access log",
        Access.objects.all,
        "at",
        _length("route"),
        _deleting(Access.objects.all),
    ),
    LogFiles("log_files", "Log files that are full"),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _KINDS}
