"""From an event to a message: what is told, and in which words. No prompt ever leaves here."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.urls import reverse

from apikeys.actors import Actor
from jobs.choices import Status
from jobs.emptiness import is_empty
from jobs.models import Event, Job
from jobs.stalling import quiet_words

__all__ = ["KINDS", "STAFF_KINDS", "Message", "messages_of"]

KINDS = {
    "done": "A job or a batch is done",
    "failed": "A job failed, or a batch with failures is over",
    "stalled": "A picture stopped moving on its server",
    "queue_empty": "Nothing waits any more",
    "server_offline": "A server can't be reached",
    "backup_failed": "A backup can't be made",
    "database_damaged": "The database was damaged",
}
# Told to those who see all jobs; nobody else could do anything about it.
STAFF_KINDS = ("backup_failed", "database_damaged")
_OUT = {"offline": "is offline", "refused": "refuses our sign-in", "aside": "was set aside"}
_WAITING = (Status.PENDING, Status.PROCESSING)
_ENDED = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True)
class Message:
    """One message of one event."""

    kind: str
    title: str
    text: str = ""


def messages_of(event: Event, actor: Actor, *, own: bool) -> Sequence[Message]:
    """Return what an event is worth telling, in the state that things are in now.

    Of the job of somebody else (not `own`) only that it was the last that waited.
    """
    if event.kind == "server.status":
        return _of_server(event)
    if event.kind == "data.trouble":
        return [_of_data(event)]
    if event.kind == "job.stalled":
        return _of_stalled(event) if own else []
    if event.kind == "job.status" and event.payload.get("status") in _ENDED:
        return [*(_of_job(event) if own else ()), *_of_queue(event, actor)]
    return []


def _of_server(event: Event) -> list[Message]:
    alias, health = str(event.payload.get("alias", "")), event.payload.get("health")
    if health not in _OUT:
        return []
    before = Event.objects.filter(
        kind="server.status", payload__alias=alias, pk__lt=event.pk
    ).order_by("-pk")
    last = before.first()
    if last is not None and last.payload.get("health") in _OUT:
        return []  # it was told already
    return [Message("server_offline", f"{alias} {_OUT[health]}", "Its jobs wait until it is back.")]


def _of_data(event: Event) -> Message:
    text = str(event.payload.get("text", ""))
    if event.payload.get("what") == "backup":
        return Message("backup_failed", "No backup could be made", text)
    return Message("database_damaged", "The database was damaged", text)


def _of_job(event: Event) -> list[Message]:
    job = Job.objects.filter(pk=event.job_id).first() if event.job_id else None
    if job is None:
        return []
    if job.batch_id is not None:
        return _of_batch(event, job)
    status, link = event.payload["status"], _link(job)
    where = f" on {job.server_alias}" if job.server_alias else ""
    if status == Status.COMPLETED:
        pictures = (
            "Its picture is" if job.images_wanted == 1 else f"{job.images_wanted} pictures are"
        )
        return [Message("done", f"Job {job.pk.hex[:8]} is done", f"{pictures} there{where}.{link}")]
    if status == Status.FAILED:
        error = event.payload.get("error") or {}
        text = f"{error.get('message', '')} {error.get('hint', '')}".strip()
        return [Message("failed", f"Job {job.pk.hex[:8]} failed", f"{text}{link}")]
    return []


def _of_stalled(event: Event) -> list[Message]:
    job = Job.objects.filter(pk=event.job_id).first() if event.job_id else None
    if job is None:
        return []
    server, seconds = event.payload.get("server_alias", ""), event.payload.get("seconds", 0)
    text = (
        f"No sign of progress on {server} for {quiet_words(seconds)}. It is made again when the"
        " server is rid of it. Look at the server's console; restart it if it hangs."
    )
    return [Message("stalled", f"Job {job.pk.hex[:8]} has stalled", f"{text}{_link(job)}")]


def _of_batch(event: Event, job: Job) -> list[Message]:
    """Tell of a batch once: by the last end of one of its jobs."""
    jobs = Job.objects.filter(batch=job.batch_id, deleted_at__isnull=True)
    if jobs.filter(status__in=_WAITING, held=False).exists():
        return []
    later = Event.objects.filter(
        kind="job.status", job__batch=job.batch_id, payload__status__in=_ENDED, pk__gt=event.pk
    )
    if later.exists():
        return []
    done = jobs.filter(status=Status.COMPLETED).count()
    failed = jobs.filter(status=Status.FAILED).count()
    held = jobs.filter(status=Status.PENDING, held=True).count()
    if not done and not failed:
        return []
    name = getattr(job.batch, "name", "") or f"Batch {str(job.batch_id)[:8]}"
    parts = [f"{done} done"]
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{held} wait for your nod"] if held else []
    title = f"{name}: the first are there" if held else f"{name} is over"
    return [Message("failed" if failed else "done", title, f"{', '.join(parts)}.{_link(job)}")]


def _of_queue(event: Event, actor: Actor) -> list[Message]:
    if not is_empty(Job.objects.visible_to(actor)):
        return []
    later = Event.objects.visible_to(actor).filter(
        kind__in=["job.created", "job.status"], pk__gt=event.pk
    )
    if later.exists():
        return []
    return [Message("queue_empty", "The queue is empty", "Nothing waits or runs any more.")]


def _link(job: Job) -> str:
    if not settings.PUBLIC_URL:
        return ""
    return f" {settings.PUBLIC_URL.rstrip('/')}{reverse('job', args=[job.pk])}"
