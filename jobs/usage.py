"""What a key used in the last 24 hours, and whether it may use more.

The window rolls: a job counts until 24 hours after it was made, also when it was deleted, and once
more for each retry; a second of an attempt until 24 hours after it passed. Attempts count from
their POST to their end; those that never reached the backend, or whose end nobody saw (LOST), do
not.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from django.db.models import Count, DateTimeField, F, FloatField, Func, QuerySet, Sum, Value
from django.db.models.functions import Coalesce, Greatest, Least, TruncDate
from django.utils import timezone

from apikeys.models import ApiKey
from apikeys.ports import Usage
from jobs.choices import Outcome
from jobs.models import Attempt, Job, Retry
from mobilesd.errors import Problem
from mobilesd.http.times import rfc3339

if TYPE_CHECKING:
    from apikeys.actors import Actor

__all__ = ["DAY", "QuotaExceeded", "check_quota", "jobs_by_day", "usage"]

DAY = timedelta(days=1)
_UNCOUNTED = (Outcome.NEVER_REACHED, Outcome.LOST)

# When an attempt began and ended, inside of the window.
_Run = tuple[datetime, datetime]


class QuotaExceeded(Problem):
    """The key has used up what it may use in a day (429)."""

    error = "quota_exceeded"


def usage(keys: Sequence[ApiKey]) -> Mapping[str, Usage]:
    """Return what these keys used (apikeys.ports.UsagePort), in at most eight queries."""
    now = timezone.now()
    prefixes = [key.prefix for key in keys]
    jobs: Counter[str] = Counter()
    for made in _counted(prefixes, now):
        # Not of a column that the index lacks.
        jobs.update(dict(made.values_list("prefix").annotate(count=Count("*"))))
    full = {
        key.prefix: key.jobs_per_day
        for key in keys
        if key.jobs_per_day is not None and jobs.get(key.prefix, 0) >= key.jobs_per_day
    }
    times = _made(list(full), now) if full else {}
    seconds = _seconds(prefixes, now)
    spent = {
        key.prefix: key.gpu_seconds_per_day
        for key in keys
        if key.gpu_seconds_per_day is not None and seconds[key.prefix] >= key.gpu_seconds_per_day
    }
    runs = _runs(list(spent), now) if spent else {}
    return {
        key.prefix: Usage(
            jobs=jobs.get(key.prefix, 0),
            gpu_seconds=seconds[key.prefix],
            jobs_free_at=_jobs_free_at(times[key.prefix], full[key.prefix], 1, now)
            if key.prefix in full
            else None,
            gpu_free_at=_gpu_free_at(runs[key.prefix], spent[key.prefix], now)
            if key.prefix in spent
            else None,
        )
        for key in keys
    }


def check_quota(actor: "Actor", new_jobs: int) -> None:
    """Refuse jobs beyond the quotas of the actor's key; raise QuotaExceeded.

    Must run inside the transaction that inserts the jobs: SQLite's write lock, elsewhere the lock
    on the key's row, lets no other submission of the key pass between counting and inserting.
    """
    if not actor.has_quota:
        return
    key = ApiKey.objects.select_for_update(no_key=True).filter(prefix=actor.key_prefix).first()
    if key is None:  # deleted since; its jobs could not name it
        raise Problem("There is no such API key.", error="invalid_api_key")
    now = timezone.now()
    if key.jobs_per_day is not None:
        _check_jobs(key, key.jobs_per_day, new_jobs, now)
    if key.gpu_seconds_per_day is not None:
        _check_seconds(key, key.gpu_seconds_per_day, now)


def _check_jobs(key: ApiKey, limit: int, new_jobs: int, now: datetime) -> None:
    used = sum(made.count() for made in _counted([key.prefix], now))
    if used + new_jobs <= limit:
        return
    # By `jobs` a program sees what no waiting helps: more at once than the limit.
    details = {"quota": "jobs_per_day", "limit": limit, "used": used, "jobs": new_jobs}
    if new_jobs > limit:
        raise _refusal(
            f"These are {new_jobs} jobs, but the key may make {limit} in 24 hours.",
            details,
            # Waiting alone never helps; a client that only waits should at least wait long.
            now + DAY,
            now,
            hint="Submit fewer at once, or raise the key's quota.",
        )
    made = _made([key.prefix], now)[key.prefix]
    raise _refusal(
        f"The key has made {used} of the {limit} jobs that it may make in 24 hours.",
        details,
        _jobs_free_at(made, limit, new_jobs, now),
        now,
    )


def _check_seconds(key: ApiKey, limit: int, now: datetime) -> None:
    used = _seconds([key.prefix], now)[key.prefix]
    if used < limit:
        return
    free_at = _gpu_free_at(_runs([key.prefix], now)[key.prefix], limit, now)
    raise _refusal(
        f"The key's jobs have run {used:.0f} of the {limit} seconds that they may in 24 hours.",
        {"quota": "gpu_seconds_per_day", "limit": limit, "used": round(used, 1)},
        free_at,
        now,
    )


def _refusal(
    message: str, details: Mapping[str, object], free_at: datetime, now: datetime, hint: str = ""
) -> QuotaExceeded:
    wait = max(1, math.ceil((free_at - now).total_seconds()))
    extra = {**details, "frees_at": rfc3339(free_at)}
    return QuotaExceeded(message, extra=extra, retry_after=wait, hint=hint)


def _made(prefixes: Sequence[str], now: datetime) -> Mapping[str, Sequence[datetime]]:
    """Return when the counted jobs of these keys were made or retried, oldest first."""
    found: defaultdict[str, list[datetime]] = defaultdict(list)
    rows = (made.values_list("prefix", "time") for made in _counted(prefixes, now))
    for prefix, at in sorted(chain.from_iterable(rows), key=itemgetter(1)):
        found[prefix].append(at)
    return found


def _counted(prefixes: Sequence[str], now: datetime) -> Sequence[QuerySet[Any]]:
    """Return what counts as a job of these keys: `prefix` and `time` of each, in no order."""
    made = Job.objects.filter(api_key_id__in=prefixes, created_at__gt=now - DAY)
    again = Retry.objects.filter(api_key_prefix__in=prefixes, at__gt=now - DAY)
    return (
        made.order_by().annotate(prefix=F("api_key_id"), time=F("created_at")),
        again.order_by().annotate(prefix=F("api_key_prefix"), time=F("at")),
    )


def _jobs_free_at(made: Sequence[datetime], limit: int, new_jobs: int, now: datetime) -> datetime:
    """Return when so many of the jobs have left the window that `new_jobs` fit in."""
    too_many = len(made) + new_jobs - limit
    return made[too_many - 1] + DAY if 0 < too_many <= len(made) else now + DAY


def _in_window(prefixes: Sequence[str], now: datetime) -> Sequence[QuerySet[Attempt]]:
    """Return these keys' attempts: those that run, and those that ended in the window.

    Two ranges of the index; asked with OR, SQLite would read all attempts that a key ever had.
    """
    counted = (
        Attempt.objects.filter(api_key_prefix__in=prefixes, submitted_at__isnull=False)
        .exclude(outcome__in=_UNCOUNTED)
        .order_by()
    )
    return counted.filter(ended_at__isnull=True), counted.filter(ended_at__gt=now - DAY)


def _seconds(prefixes: Sequence[str], now: datetime) -> Mapping[str, float]:
    """Return how long the attempts of these keys ran in the window; an open one ends now.

    Summed by the database: the rows of a busy day take a hundred milliseconds to read.
    """
    found: defaultdict[str, float] = defaultdict(float)
    begin = _Epoch(Greatest("submitted_at", Value(now - DAY, DateTimeField())))
    end = _Epoch(Least(Coalesce("ended_at", Value(now, DateTimeField())), Value(now)))
    for attempts in _in_window(prefixes, now):
        for prefix, seconds in attempts.values_list("api_key_prefix").annotate(
            seconds=Sum(Greatest(end - begin, 0.0, output_field=FloatField()))
        ):
            found[prefix] += seconds or 0.0
    return found


def _runs(prefixes: Sequence[str], now: datetime) -> Mapping[str, list[_Run]]:
    """Return the runs of these keys' attempts, cut to the window; an open one ends now."""
    found: defaultdict[str, list[_Run]] = defaultdict(list)
    rows = (
        attempts.values_list("api_key_prefix", "submitted_at", "ended_at")
        for attempts in _in_window(prefixes, now)
    )
    for prefix, start, end in chain.from_iterable(rows):
        # A clock that was set back must not give time back.
        begin, stop = max(start or now, now - DAY), min(end or now, now)
        if stop > begin:
            found[prefix].append((begin, stop))
    return found


class _Epoch(Func):
    """Seconds of a moment, exact to a millisecond on SQLite."""

    template = "EXTRACT(EPOCH FROM %(expressions)s)"
    output_field = FloatField()
    arity = 1

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "(julianday(%(expressions)s) * 86400.0)"
        return self.as_sql(compiler, connection, template=template, **context)


def _gpu_free_at(runs: Sequence[_Run], limit: int, now: datetime) -> datetime:
    """Return when less than `limit` seconds are in the window again, of runs that are too many.

    Goes along the runs from the oldest second on until enough of them are behind.
    """
    total = sum((stop - begin).total_seconds() for begin, stop in runs)
    excess = max(0.0, total - limit)
    steps = sorted([(begin, 1) for begin, _ in runs] + [(stop, -1) for _, stop in runs])
    active, at = 0, now - DAY
    for moment, change in steps:
        passed = (moment - at).total_seconds() * active
        if active and passed > excess:
            # A microsecond more, because a quota that is used to the end is used up.
            return at + timedelta(seconds=excess / active, microseconds=1) + DAY
        excess -= passed
        active, at = active + change, moment
    return now + DAY


def jobs_by_day(key: ApiKey, since: date) -> Mapping[date, int]:
    """Return how many jobs a key made on each day (apikeys.ports.JobsByDayPort)."""
    start = datetime.combine(since, time(), UTC)
    return dict(
        Job.objects.filter(api_key_id=key.prefix, created_at__gte=start)
        .order_by()
        .annotate(day=TruncDate("created_at", tzinfo=UTC))
        .values_list("day")
        .annotate(count=Count("*"))
    )
