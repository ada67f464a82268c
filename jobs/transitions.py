"""Every change of a job's or attempt's state: one conditional UPDATE each, with its event.

All functions must run inside the caller's transaction. They return whether they won; a caller
that lost does nothing more. "Lease-fenced" ones are called by a lane right after its fence
statement in the same transaction (protocol rules 2 and 11).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from jobs import events
from jobs.choices import Outcome, Status
from jobs.due import DUE
from jobs.hours import opening_of
from jobs.models import Attempt, Job, JobProgress, QueueSettings, hold_queue
from jobs.signals import attempt_cancelled, job_ended, job_waiting
from mobilesd.rows import Reader, insert, param

__all__ = [
    "Trouble",
    "adopt",
    "announce_all",
    "announce_ended",
    "announce_gone",
    "announce_waiting",
    "cancel",
    "cancel_pending",
    "claim",
    "clear",
    "complete",
    "end_attempt",
    "fail",
    "fail_pending",
    "give_way",
    "in_transaction",
    "is_open",
    "mark_submitted",
    "requeue",
    "standing_of",
    "take_round",
]


@dataclass(frozen=True)
class Trouble:
    """What went wrong, in words: `code` for programs, the sentences for people."""

    code: str
    message: str
    hint: str = ""
    error_class: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the contract's `error` object."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


def in_transaction() -> None:
    """Raise RuntimeError outside of a transaction."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("a state changes only inside a transaction, together with its event")


def _status_event(
    job: Job, *, attempt: UUID | None = None, trouble: Trouble | None = None, text: str = ""
) -> None:
    told = events.JobStatus(
        job=str(job.pk),
        status=job.status,
        attempt=str(attempt) if attempt else None,
        server_alias=job.server_alias or None,
        error=trouble.as_dict() if trouble else None,
    )
    if text:
        told["text"] = text
    events.emit_for_job("job.status", job, told)


def standing_of(job: Job, status: str) -> events.JobStatus:
    """Return the event of a job that no server has."""
    return events.JobStatus(
        job=str(job.pk), status=status, attempt=None, server_alias=None, error=None
    )


def _hold_job(token: UUID) -> None:
    """Lock the job of an attempt: the order is job, attempt, progress, event (protocol rule 2)."""
    if connection.features.has_select_for_update:
        # Not its key: else whoever inserts a row that names the job waits for us when it commits.
        held = Job.objects.select_for_update(no_key=True, of=("self",))
        held.filter(attempts=token).only("pk").first()


def is_open(token: UUID) -> bool:
    """Tell whether an attempt is open; it stays so until the caller's transaction ends."""
    in_transaction()
    _hold_job(token)
    return Attempt.objects.open().filter(token=token).exists()


def announce_waiting(job: Job) -> None:
    """Tell the apps above that this job waits for a server."""
    job_waiting.send(sender=Job, app_type=job.app_type, target_server_alias=job.target_server_alias)


def announce_all(jobs: Iterable[Job]) -> None:
    """Tell the apps above of many jobs, once for those that the same servers can take."""
    for job in {(job.app_type, job.target_server_alias): job for job in jobs}.values():
        announce_waiting(job)


def announce_gone(job_ids: Sequence[UUID]) -> None:
    """Tell those that depend on them that these jobs, which waited, were deleted."""
    announce_ended(job_ids)


def claim(job_id: UUID, *, server_alias: str, lane: UUID) -> Attempt | None:
    """Give a pending job to a server and open its attempt. Lease-fenced (protocol rule 1)."""
    in_transaction()
    hold_queue(shared=True)
    switches = QueueSettings.current()
    now = timezone.now()
    if switches.paused or not opening_of(switches).is_open(now):
        return None
    values = {"job": param(job_id), "alias": server_alias, "now": param(now)}
    paused = {f"paused{n}": name for n, name in enumerate(switches.paused_app_types)}
    marks = ", ".join(f"%({name})s" for name in paused)
    others = f"AND q.app_type NOT IN ({marks})" if paused else ""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM.format(others=others), {**values, **paused})
        if not cursor.rowcount:
            return None
    job, (attempts, retried_by) = _CLAIMED.with_more(job_id)[0]
    attempt = Attempt(
        job=job,
        server_alias=server_alias,
        # Whose quota the run counts for: that of who asked for it last.
        api_key_prefix=retried_by if retried_by is not None else job.api_key_id or "",
        number=attempts + 1,
        lane=lane,
        created_at=now,
    )
    insert(attempt)
    if job.images_made:
        # What a round left shows how far the job is, until this one shows more.
        done = job.images_made / job.images_wanted
        row = JobProgress.objects.filter(job=job)
        row.update(attempt=attempt.token, seq=0, progress=done, updated_at=now)
    _take_turn(job, now)
    _status_event(job, attempt=attempt.token)
    return attempt


# Plain SQL, because a GPU waits for it. What is due is asked again here: since the lane chose it,
# the job may have been cancelled and retried, sent to another server, or put off. A job that
# goes on with its next round began when its first one did.
_CLAIM = f"""
    UPDATE jobs_job AS q SET status = '{Status.PROCESSING}', server_alias = %(alias)s,
        started_at = CASE WHEN images_made > 0 THEN COALESCE(started_at, %(now)s) ELSE %(now)s END,
        finished_at = NULL, retry_at = NULL, put_off_until = not_before,
        error_code = '', error_message = '', error_hint = '', updated_at = %(now)s
    WHERE q.id = %(job)s AND q.status = '{Status.PENDING}' AND q.deleted_at IS NULL AND NOT q.held
    AND q.target_server_alias IN ('', %(alias)s) AND {DUE} {{others}}
"""
_CLAIMED = Reader(
    Job,
    "WHERE t.id = %s",
    "(SELECT COUNT(*) FROM jobs_attempt a WHERE a.job_id = t.id)",
    "(SELECT r.api_key_prefix FROM jobs_retry r WHERE r.job_id = t.id ORDER BY r.at DESC LIMIT 1)",
)
_TURN = """
    INSERT INTO jobs_turn (scope, lane_class, at) VALUES (%s, %s, %s)
    ON CONFLICT (scope, lane_class) DO UPDATE SET at = EXCLUDED.at
"""


def _take_turn(job: Job, now: datetime) -> None:
    """Note that it was its owner's turn: the others of its class come first now (design §7)."""
    with connection.cursor() as cursor:
        cursor.execute(_TURN, [job.scope, job.lane_class, param(now)])


def mark_submitted(token: UUID, *, lane: UUID) -> bool:
    """Note that the one POST of this attempt is about to go out. Lease-fenced (rule 8)."""
    in_transaction()
    return (
        Attempt.objects.filter(
            token=token, lane=lane, ended_at__isnull=True, submitted_at__isnull=True
        ).update(submitted_at=timezone.now())
        == 1
    )


def adopt(token: UUID, *, old_lane: UUID, lane: UUID) -> bool:
    """Take over an open attempt of a lane that is gone. Lease-fenced (design §5)."""
    in_transaction()
    return (
        Attempt.objects.filter(token=token, lane=old_lane, ended_at__isnull=True).update(
            lane=lane, adoptions=F("adoptions") + 1
        )
        == 1
    )


def clear(token: UUID) -> bool:
    """Note that the backend is rid of an attempt that has ended. Lease-fenced."""
    in_transaction()
    _hold_job(token)  # a retry comes before and is announced here, or comes after
    won = Attempt.objects.filter(
        token=token, ended_at__isnull=False, cleared_at__isnull=True
    ).update(cleared_at=timezone.now())
    if won:
        job = Job.objects.get(attempts=token)
        if job.status == Status.PENDING:  # a retried job has waited for this
            announce_waiting(job)
    return won == 1


def end_attempt(
    token: UUID,
    *,
    outcome: Outcome,
    lane: UUID | None = None,
    trouble: Trouble | None = None,
    cleared: bool = True,
) -> Attempt | None:
    """Close an open attempt; with `lane`, only if that lane follows it."""
    in_transaction()
    now = timezone.now()
    _hold_job(token)
    query = Attempt.objects.filter(token=token, ended_at__isnull=True)
    if lane is not None:
        query = query.filter(lane=lane)
    won = query.update(
        ended_at=now,
        cleared_at=now if cleared else None,
        outcome=outcome,
        error_class=trouble.error_class if trouble else "",
        error_code=trouble.code if trouble else "",
        error_message=trouble.message if trouble else "",
        error_hint=trouble.hint if trouble else "",
    )
    return Attempt.objects.select_related("job").get(token=token) if won else None


def take_round(
    token: UUID, *, images: int, generation_info: Mapping[str, Any], warnings: list[str]
) -> Job | None:
    """Note that a round has made so many pictures, and give its job back to the queue.

    By the token of its open attempt, as `complete`; the caller stores the pictures in the same
    transaction, and goes on with `claim`, or else with `give_way`: either tells of it.
    """
    in_transaction()
    attempt = end_attempt(token, outcome=Outcome.ROUND)
    if attempt is None:
        return None
    job = attempt.job
    won = Job.objects.filter(
        pk=job.pk, status=Status.PROCESSING, images_made=job.images_made
    ).update(
        status=Status.PENDING,
        server_alias="",
        images_made=job.images_made + images,
        updated_at=timezone.now(),
        generation_info=dict(generation_info),
        warnings=_with_new(job.warnings, warnings),
    )
    if not won:
        return None
    job.refresh_from_db()
    return job


def give_way(job: Job, token: UUID, text: str) -> None:
    """Tell that a job waits with its next round, and why in words, if anything came before it."""
    in_transaction()
    JobProgress.objects.filter(job=job).delete()
    _status_event(job, attempt=token, text=text or "The other pictures wait.")
    announce_waiting(job)


def _with_new(warnings: list[str], more: list[str]) -> list[str]:
    return [*warnings, *(warning for warning in more if warning not in warnings)]


def complete(token: UUID, *, generation_info: Mapping[str, Any], warnings: list[str]) -> Job | None:
    """Complete a job by the token of its open attempt; the first result wins (rule 11).

    The caller stores the pictures in the same transaction and rolls back if this returns None.
    """
    in_transaction()
    attempt = end_attempt(token, outcome=Outcome.COMPLETED)
    if attempt is None:
        return None
    now = timezone.now()
    job = attempt.job
    won = Job.objects.filter(pk=job.pk, status=Status.PROCESSING).update(
        status=Status.COMPLETED,
        finished_at=now,
        updated_at=now,
        attempts_made=job.attempts_made + 1,
        generation_info=dict(generation_info),
        warnings=_with_new(job.warnings, warnings),
    )
    if not won:
        return None
    JobProgress.objects.filter(job=job).delete()
    job.refresh_from_db()
    _status_event(job, attempt=token)
    announce_ended([job.pk])
    return job


def requeue(
    attempt: Attempt,
    *,
    trouble: Trouble | None = None,
    retry_at: datetime | None = None,
    counted: bool = False,
    avoid_server: str | Sequence[str] = (),
    memory_step: int | None = None,
) -> bool:
    """Put the job of an attempt that just ended back into the queue. Lease-fenced.

    `memory_step`: how far down the ladder of measures against too little memory it goes now.
    """
    in_transaction()
    job = attempt.job
    avoid = [avoid_server] if isinstance(avoid_server, str) else avoid_server
    avoid = list(dict.fromkeys([*job.avoid_servers, *avoid]))
    won = Job.objects.filter(pk=job.pk, status=Status.PROCESSING).update(
        status=Status.PENDING,
        server_alias="",
        retry_at=retry_at,
        avoid_servers=avoid,
        memory_step=job.memory_step if memory_step is None else memory_step,
        attempts_made=job.attempts_made + int(counted),
        updated_at=timezone.now(),
    )
    if not won:
        return False
    JobProgress.objects.filter(job=job).delete()
    job.refresh_from_db()
    _status_event(job, attempt=attempt.token, trouble=trouble)
    announce_waiting(job)
    return True


def announce_ended(job_ids: Sequence[UUID]) -> None:
    """Tell those that depend on them that these jobs have ended."""
    job_ended.send(sender=Job, job_ids=job_ids)


def _fail(job: Job, trouble: Trouble, *, expected: Status, counted: bool = False) -> bool:
    now = timezone.now()
    won = Job.objects.filter(pk=job.pk, status=expected).update(
        status=Status.FAILED,
        finished_at=now,
        updated_at=now,
        attempts_made=job.attempts_made + int(counted),
        error_code=trouble.code,
        error_message=trouble.message,
        error_hint=trouble.hint,
    )
    if not won:
        return False
    JobProgress.objects.filter(job=job).delete()
    job.refresh_from_db()
    _status_event(job, trouble=trouble)
    announce_ended([job.pk])
    return True


def fail(attempt: Attempt, trouble: Trouble, *, counted: bool = True) -> bool:
    """Fail the job of an attempt that just ended. Lease-fenced."""
    in_transaction()
    return _fail(attempt.job, trouble, expected=Status.PROCESSING, counted=counted)


def fail_pending(job: Job, trouble: Trouble) -> bool:
    """Fail a job that waits (its deadline passed, nothing can ever serve it)."""
    in_transaction()
    return _fail(job, trouble, expected=Status.PENDING)


def cancel(job_id: UUID, *, at: datetime | None = None) -> bool:
    """Cancel a pending or running job, final at once (protocol rule 13).

    An attempt that runs stays uncleared: its lane, or the next one, cleans up at the backend.
    """
    in_transaction()
    now = at or timezone.now()
    won = Job.objects.filter(
        pk=job_id, status__in=[Status.PENDING, Status.PROCESSING], deleted_at__isnull=True
    ).update(status=Status.CANCELLED, finished_at=now, updated_at=now)
    if not won:
        return False
    job = Job.objects.get(pk=job_id)
    for attempt in job.attempts.open():
        end_attempt(attempt.token, outcome=Outcome.CANCELLED, cleared=False)
        attempt_cancelled.send(sender=Attempt, server_alias=attempt.server_alias)
    JobProgress.objects.filter(job=job).delete()
    _status_event(job)
    announce_ended([job.pk])
    return True


def cancel_pending(job_ids: Sequence[UUID], *, at: datetime | None = None) -> int:
    """Cancel those of these jobs that still wait, in few statements; return how many.

    A waiting job has no open attempt, so there is nothing to clean up at a backend.
    """
    in_transaction()
    hold_queue()
    waiting = Job.objects.filter(pk__in=job_ids, status=Status.PENDING, deleted_at__isnull=True)
    # Besides what the event needs, what the journal tells of a job that has made some pictures.
    made = ("images_made", "generation_info", "warnings", "started_at")
    jobs = list(waiting.select_for_update(no_key=True).only("pk", "owner_id", *made))
    now = at or timezone.now()
    won = Job.objects.filter(pk__in=[job.pk for job in jobs], status=Status.PENDING).update(
        status=Status.CANCELLED, finished_at=now, updated_at=now
    )
    if won != len(jobs):
        raise RuntimeError("a row that was read under the lock changed")
    events.emit_for_jobs(
        "job.status",
        [(job, standing_of(job, Status.CANCELLED)) for job in jobs],
    )
    announce_ended([job.pk for job in jobs])
    return won
