"""The one sender: every event row, durable or short-lived, is inserted here (design §9).

Rows are written in the transaction of the change they tell of, so that no event is lost or early.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Literal, TypedDict
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from jobs import journal
from jobs.models import Epoch, Event, Job, LiveEvent
from mobilesd.http.request_ids import asker, request_id
from mobilesd.rows import Rows, insert

__all__ = [
    "NOTIFY_CHANNEL",
    "Arrival",
    "DataTrouble",
    "DurableKind",
    "JobChanged",
    "JobCreated",
    "JobPreview",
    "JobProgressed",
    "JobStalled",
    "JobStatus",
    "LiveKind",
    "QueueEmpty",
    "QueuePaused",
    "ServerStatus",
    "emit",
    "emit_arrivals",
    "emit_for_job",
    "emit_for_jobs",
    "emit_live",
    "epoch",
    "prune",
]

log = logging.getLogger(__name__)

DurableKind = Literal[
    "job.created",
    "job.status",
    "job.changed",
    "job.deleted",
    "image.created",
    "server.status",
    "queue.paused",
    "queue.empty",
    "job.stalled",
    "data.trouble",
]
LiveKind = Literal["job.progress", "job.preview"]

LIVE_SECONDS = 60
DURABLE_DAYS = 7
NOTIFY_CHANNEL = "mobilesd_events"
_ADVISORY_LOCK = 0x6D6F6273  # any constant that nobody else takes


class JobCreated(TypedDict):
    job: str
    status: str


class JobStatus(TypedDict, total=False):
    job: str
    status: str
    attempt: str | None
    server_alias: str | None
    error: dict[str, str] | None
    text: str


class JobChanged(TypedDict):
    job: str
    status: str
    fields: list[str]


class QueuePaused(TypedDict):
    paused: bool
    paused_app_types: list[str]
    server: str | None
    app_type: str | None


class QueueEmpty(TypedDict):
    whole: bool


class JobStalled(TypedDict):
    job: str
    attempt: str
    server_alias: str
    seconds: float


class DataTrouble(TypedDict):
    what: str
    cause: str
    text: str


class JobProgressed(TypedDict):
    job: str
    attempt: str
    seq: int
    progress: float
    text: str
    eta: float | None


class JobPreview(TypedDict):
    job: str
    attempt: str
    seq: int
    url: str


class ServerStatus(TypedDict):
    alias: str
    health: str
    busy: bool


def _order_ids() -> None:
    # PostgreSQL hands out ids before commits: without the lock a reader that has seen id 8 could
    # miss 7 for ever. SQLite has one writer at a time, so its ids are in commit order already.
    # The notification goes out with the commit and wakes the relays (jobs/live/tail.py).
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])
            cursor.execute("SELECT pg_notify(%s, '')", [NOTIFY_CHANNEL])


def _told(payload: Any, *, of_job: bool = False) -> dict[str, Any]:
    """Return the payload with the id of the request that made the change, if one did.

    Who asked for it is told of jobs only: their events are for those who may see the job.
    """
    asked = request_id()
    if not asked:
        return dict(payload)
    by = asker() if of_job else ""
    return {**payload, "request_id": asked, **({"by": by} if by else {})}


def _log(kind: DurableKind, payload: Any, *, job: Job | None = None, jobs: int = 0) -> None:
    """Log a change once it is committed; without texts, which may have words of a prompt."""
    if log.isEnabledFor(logging.INFO):
        _log_later(kind, _about(payload, job, jobs))


def _about(payload: Any, job: Job | None, jobs: int = 0) -> dict[str, Any]:
    about: dict[str, Any] = {
        # Not asked of the database for a row that was read without it.
        "request_id": request_id() or (job.__dict__.get("request_id", "") if job else ""),
        "job": str(job.pk) if job else "",
        "jobs": jobs or "",
        "attempt": payload.get("attempt") or "",
        "server": payload.get("server_alias") or "",
        "status": payload.get("status") or "",
        "code": (payload.get("error") or {}).get("code") or "",
        "by": asker(),
    }
    return {name: value for name, value in about.items() if value}


def _log_later(kind: DurableKind, about: dict[str, Any]) -> None:
    transaction.on_commit(partial(log.info, kind, extra=about), robust=True)


def emit(
    kind: DurableKind,
    payload: Any,
    *,
    job_id: UUID | None = None,
    owner_id: int | None = None,
    public: bool = False,
) -> None:
    """Insert a durable event; call it inside the transaction of the change."""
    _order_ids()
    insert(
        Event(
            kind=kind,
            job_id=job_id,
            owner_id=owner_id,
            public=public,
            payload=_told(payload, of_job=job_id is not None),
            at=timezone.now(),
        )
    )


def emit_for_job(kind: DurableKind, job: Job, payload: Any) -> None:
    """Insert a durable event of one job, for those who may see the job."""
    emit(kind, payload, job_id=job.pk, owner_id=job.owner_id)
    journal.told_event(kind, [(job, payload)])
    _log(kind, payload, job=job)


class Arrival:
    """The event that a new job is there, made before the transaction, as others wait for that.

    Make it while the request is being answered that asked for the job.
    """

    def __init__(self, job: Job) -> None:
        payload = JobCreated(job=str(job.pk), status=job.status)
        self.row = Event(
            kind="job.created",
            job_id=job.pk,
            owner_id=job.owner_id,
            payload=_told(payload, of_job=True),
            at=timezone.now(),
        )
        self.told = job, payload
        self.about = _about(payload, job)


def emit_arrivals(arrivals: Sequence[Arrival]) -> None:
    """Insert the events of new jobs, after their rows; each is logged by itself."""
    _order_ids()
    Rows([arrival.row for arrival in arrivals]).insert()
    journal.told_event("job.created", [arrival.told for arrival in arrivals])
    for arrival in arrivals:
        _log_later("job.created", arrival.about)


def emit_for_jobs(kind: DurableKind, told: Iterable[tuple[Job, Any]]) -> None:
    """Insert one durable event for each of many jobs, in few statements: (job, payload) pairs."""
    told = list(told)
    _order_ids()
    now = timezone.now()
    rows = [
        Event(
            kind=kind,
            job_id=job.pk,
            owner_id=job.owner_id,
            payload=_told(payload, of_job=True),
            at=now,
        )
        for job, payload in told
    ]
    if rows:
        Rows(rows).insert()
        journal.told_event(kind, told)
        # One line: a thousand would take longer than their rows.
        _log(kind, rows[0].payload, jobs=len(rows))


def emit_live(kind: LiveKind, payload: Any, *, job_id: UUID, owner_id: int | None) -> None:
    """Insert a short-lived event; it may be dropped or merged on its way."""
    _order_ids()
    LiveEvent.objects.create(
        kind=kind, job_id=job_id, owner_id=owner_id, payload=payload, at=timezone.now()
    )


def epoch() -> str:
    """Return the life of the event ids; a restored database has another one."""
    return str(Epoch.objects.get_or_create(pk=1)[0].value)


def prune() -> None:
    """Delete the short-lived events of more than a minute ago, and old events without a job.

    Events of a job go with their job.
    """
    now = timezone.now()
    LiveEvent.objects.filter(at__lt=now - timedelta(seconds=LIVE_SECONDS)).delete()
    old = now - timedelta(days=DURABLE_DAYS)
    Event.objects.filter(job__isnull=True, at__lt=old).delete()
