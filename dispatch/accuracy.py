"""How far what was expected was off, from what really happened."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from statistics import median
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from dispatch.models import ExpectedStart
from jobs.choices import Outcome, Status
from jobs.models import Attempt, Job
from mobilesd.sqlite import write_turn

__all__ = ["LEAST", "errors_of", "note_starts", "recent_error"]

# The newest jobs that count, and how many runs there must be before anything is said.
RECENT = 200
LEAST = 5
# A start is worth comparing when somebody would have waited for it.
_SOON_SECONDS = 5.0
_AT_ONCE = 200


def recent_error() -> float | None:
    """Return the median of |expected - real| / real of the newest runs; None of too few."""
    return _median(error for _, error in _errors())


def errors_of(aliases: Iterable[str]) -> dict[str, float]:
    """Return the same of each of these servers that has enough runs."""
    wanted = set(aliases)
    by_alias: dict[str, list[float]] = {}
    for alias, error in _errors():
        if alias in wanted:
            by_alias.setdefault(alias, []).append(error)
    found = {alias: _median(errors) for alias, errors in by_alias.items()}
    return {alias: error for alias, error in found.items() if error is not None}


def _errors() -> list[tuple[str, float]]:
    """Return the servers and errors of the newest completed runs."""
    # By the newest jobs: an index leads to them, and from them to their attempts.
    done = Job.objects.listed().filter(status=Status.COMPLETED).order_by("-created_at", "-id")
    rows = Attempt.objects.filter(
        job__in=list(done.values_list("pk", flat=True)[:RECENT]),
        outcome=Outcome.COMPLETED,
        expected_seconds__isnull=False,
        began_at__isnull=False,
        ended_at__isnull=False,
    ).only("server_alias", "expected_seconds", "began_at", "ended_at")
    found = []
    for row in rows:
        if row.expected_seconds is not None and row.began_at and row.ended_at:
            real = max((row.ended_at - row.began_at).total_seconds(), 0.001)
            found.append((row.server_alias, abs(row.expected_seconds - real) / real))
    return found


def _median(errors: Iterable[float]) -> float | None:
    every = list(errors)
    return median(every) if len(every) >= LEAST else None


def note_starts(starts: Mapping[UUID, datetime]) -> None:
    """Keep when each job was first expected to start, as long as the job is there.

    Nothing is decided by it: it is what the bench, and whoever doubts a forecast, compares with.
    """
    now = timezone.now()
    known = set(ExpectedStart.objects.filter(job__in=starts).values_list("job", flat=True))
    new = [
        ExpectedStart(job_id=job_id, at=at, told_at=now)
        for job_id, at in starts.items()
        if job_id not in known and (at - now).total_seconds() >= _SOON_SECONDS
    ]
    for first in range(0, len(new), _AT_ONCE):  # a lane must not wait long for the write lock
        some = new[first : first + _AT_ONCE]
        with write_turn(), transaction.atomic():
            there = set(
                Job.objects.filter(pk__in=[row.job_id for row in some]).values_list("pk", flat=True)
            )
            rows = [row for row in some if row.job_id in there]  # others were deleted meanwhile
            ExpectedStart.objects.bulk_create(rows, ignore_conflicts=True)
