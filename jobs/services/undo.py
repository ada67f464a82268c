"""Taking back, for some seconds, what one request took away.

The request's own transaction writes down which jobs ended or were hidden, and when: a job is
brought back only if it still is as that request left it. So it does not matter how often, or by
how many at once, the same thing is taken back. Of a server or a preset, which are deleted for good,
it keeps the rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from apikeys.actors import Actor
from jobs import again, events, transitions, wording
from jobs.choices import Status
from jobs.models import Batch, Job, JobDependency, Retry, Undo, hold_queue
from jobs.ports import ports
from jobs.services.kept import put_back_preset
from mobilesd.errors import Conflict, NotFound
from mobilesd.http.times import rfc3339
from mobilesd.sqlite import write_turn

__all__ = [
    "SECONDS",
    "Kind",
    "Undone",
    "forget",
    "open_jobs",
    "remember",
    "renew",
    "shown",
    "state_of",
    "undo",
]

SECONDS = 10
_FORGET_AFTER = timedelta(days=1)  # until then its id gets 409, later 404
_AT_ONCE = 500

Kind = Literal["ended", "deleted"]

# What these took away is no job.
_NOUNS = {"delete_server": "server", "delete_preset": "preset"}


@dataclass(frozen=True)
class Undone:
    """What was taken back (`cancel`, `delete`, …), and how many jobs, or what else, came back."""

    action: str
    restored: int

    @property
    def message(self) -> str:
        """Return in words what came back."""
        if self.action == "retry_batch":
            jobs = "1 job is" if self.restored == 1 else f"{self.restored} jobs are"
            return f"{jobs} as before."
        noun = _NOUNS.get(self.action, "job")
        return f"{self.restored} {noun if self.restored == 1 else f'{noun}s'} brought back."


def remember(actor: Actor, action: str, state: Mapping[str, Any]) -> Undo:
    """Keep how to take this back; call it in the transaction that takes it away.

    `state` is made of what `state_of` returns; `{"nodded": batch id}` beside it lets a batch wait
    for its nod again. `{"server": rows}` or `{"preset": rows}` (jobs.services.kept) is one that was
    deleted, by `delete_server` or `delete_preset`. `{"retried": {moment: {job: columns}}}` are
    failed jobs as they were before they were queued again.
    """
    return Undo.objects.create(
        scope=actor.scope, action=action, state=dict(state), expires_at=_from_now()
    )


def renew(row: Undo) -> None:
    """Let the time begin now: what is taken away takes time itself, where it is much."""
    row.expires_at = _from_now()
    row.save(update_fields=["expires_at"])


def _from_now() -> datetime:
    return timezone.now() + timedelta(seconds=SECONDS)


def state_of(kind: Kind, job_ids: Iterable[UUID], at: datetime) -> dict[str, Any]:
    """Return the state of jobs that ended (`finished_at`) or were hidden (`deleted_at`) then.

    Naming jobs that this did not happen to does no harm.
    """
    return {kind: {at.isoformat(): [pk.hex for pk in job_ids]}}


def _moments(state: Mapping[str, Any]) -> Iterator[tuple[Kind, datetime, list[UUID]]]:
    kinds: Sequence[Kind] = ("ended", "deleted")
    for kind in kinds:
        for at, ids in state.get(kind, {}).items():
            yield kind, datetime.fromisoformat(at), [UUID(pk) for pk in ids]


def shown(row: Undo | None) -> dict[str, Any] | None:
    """Return what an answer says of it: `{"id", "expires_at"}`; None if nothing was taken away."""
    if row is None:
        return None
    return {"id": str(row.pk), "expires_at": rfc3339(row.expires_at)}


def open_jobs() -> list[UUID]:
    """Return the jobs that somebody may still bring back."""
    states = Undo.objects.filter(expires_at__gt=timezone.now()).values_list("state", flat=True)
    return _with_dependents(pk for state in states for _, _, ids in _moments(state) for pk in ids)


def _with_dependents(job_ids: Iterable[UUID]) -> list[UUID]:
    """Return these jobs and those that failed because of them."""
    found = set(job_ids)
    frontier = list(found)
    while frontier:
        taken = [pk for ids in _chunks(frontier) for pk in _taken_along(ids)]
        frontier = [pk for pk in dict.fromkeys(taken) if pk not in found]
        found.update(frontier)
    return list(found)


def _chunks(ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]


def _taken_along(parents: Sequence[UUID]) -> Iterable[UUID]:
    failed = JobDependency.objects.filter(
        parent__in=parents, job__status=Status.FAILED, job__error_code="dependency_failed"
    )
    return failed.values_list("job", flat=True)


def undo(undo_id: UUID, actor: Actor) -> Undone:
    """Bring back what a request of this actor took away; doing it twice is doing it once.

    A job that waited gets its old place. One that ran is queued again, and starts once its old
    attempt is cleared (protocol rule 13). Jobs that failed because they depend on one of these
    wait again as well. What was changed since is left alone. Raises NotFound, or Conflict:
    `undo_expired`, or something took the place of a server or a preset.
    """
    row = Undo.objects.filter(pk=undo_id, scope=actor.scope).first()
    if row is None:
        raise NotFound(
            "There is nothing of yours to undo by this id.",
            hint=f"Only who took something away can undo it, for {SECONDS} seconds.",
        )
    if row.used_at is not None:
        return Undone(row.action, 0)
    if row.expires_at <= timezone.now():
        raise Conflict(
            f"It is too late to undo this: that can be done for {SECONDS} seconds.",
            error="undo_expired",
        )
    if row.action in _NOUNS:
        return Undone(row.action, _put_back(row))
    restored = sum(_restored(kind, ids, at) for kind, at, ids in _moments(row.state))
    for moment, jobs in row.state.get("retried", {}).items():
        restored += _failed_again(jobs, datetime.fromisoformat(moment))
    with write_turn(), transaction.atomic():
        if batch := row.state.get("nodded"):
            Batch.objects.filter(pk=batch).update(nodded_at=None)
        # Last: a process that dies before leaves what can still be undone.
        Undo.objects.filter(pk=row.pk, used_at__isnull=True).update(used_at=timezone.now())
    return Undone(row.action, restored)


def _put_back(row: Undo) -> int:
    """Insert again what was deleted for good; return how many."""
    with write_turn(), transaction.atomic():
        # First: of two at once the second one finds it used.
        if not Undo.objects.filter(pk=row.pk, used_at__isnull=True).update(used_at=timezone.now()):
            return 0
        if server := row.state.get("server"):
            ports.servers.put_back(server)
        if preset := row.state.get("preset"):
            put_back_preset(preset)
    return 1


def _restored(kind: Kind, job_ids: Sequence[UUID], at: datetime) -> int:
    """Bring jobs back in short transactions; return how many."""
    restored = 0
    for ids in _chunks(job_ids):
        with write_turn(), transaction.atomic():
            hold_queue()  # before the locks of several jobs
            _hold(ids)
            jobs = again.restore(ids, ended_at=at) if kind == "ended" else _shown_again(ids, at)
            restored += len(jobs) + _their_dependents(jobs, at)
    return restored


def _failed_again(was: Mapping[str, Mapping[str, Any]], at: datetime) -> int:
    columns = {column.attname: column for column in Job._meta.concrete_fields}
    values = {
        UUID(pk): {name: columns[name].to_python(value) for name, value in kept.items()}
        for pk, kept in was.items()
    }
    with write_turn(), transaction.atomic():
        jobs = again.put_back(values, at=at)
        # Of a retry that never was, the quotas know nothing.
        Retry.objects.filter(job__in=jobs, at__gte=at).delete()
    return len(jobs)


def _hold(job_ids: Sequence[UUID]) -> None:
    """Lock all that may come back before the first event, whose lock is the last one."""
    if connection.features.has_select_for_update:
        rows = Job.objects.filter(pk__in=_with_dependents(job_ids)).order_by("pk")
        list(rows.select_for_update(no_key=True, of=("self",)).only("pk"))


def _shown_again(job_ids: Sequence[UUID], at: datetime) -> list[Job]:
    hidden = Job.objects.filter(pk__in=job_ids, deleted_at=at).order_by("created_at", "pk")
    jobs = list(hidden.select_for_update(no_key=True, of=("self",)))
    now = timezone.now()
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(deleted_at=None, updated_at=now)
    told = [
        (job, events.JobChanged(job=str(job.pk), status=job.status, fields=["deleted"]))
        for job in jobs
    ]
    events.emit_for_jobs("job.changed", told)
    if jobs:
        wording.add(jobs)
        transitions.announce_all(job for job in jobs if job.status == Status.PENDING)
    return jobs


def _their_dependents(jobs: Sequence[Job], since: datetime) -> int:
    """Let those wait again that failed only because these had gone; return how many."""
    restored, frontier = 0, [job.pk for job in jobs]
    while frontier:
        failed = Job.objects.listed().filter(pk__in=_taken_along(frontier), finished_at__gte=since)
        hopeless = JobDependency.objects.hopeless().filter(job__in=failed)
        free = failed.exclude(pk__in=hopeless.values("job"))
        frontier = []
        for pk, ended_at in list(free.values_list("pk", "finished_at")):
            if ended_at is not None:
                frontier += [job.pk for job in again.restore([pk], ended_at=ended_at)]
        restored += len(frontier)
    return restored


def forget() -> int:
    """Delete what can't be undone any more; return how many.

    What was kept of a deleted server holds its password, sealed: that goes at once.
    """
    over = Undo.objects.filter(expires_at__lt=timezone.now(), action__in=_NOUNS)
    over.exclude(state={}).update(state={})
    return Undo.objects.filter(expires_at__lt=timezone.now() - _FORGET_AFTER).delete()[0]
