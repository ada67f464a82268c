"""Questions about many jobs or attempts at once."""

from collections.abc import Iterable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

from django.db import connection, models
from django.db.models import Exists, F, Func, OuterRef, Q
from django.db.models.lookups import Exact, IsNull

from jobs.checksums import JOB
from jobs.choices import Outcome, Status
from jobs.models.derived import derived

if TYPE_CHECKING:
    from apikeys.actors import Actor
    from jobs.models import Attempt, Batch, Event, Job, JobDependency, Webhook  # noqa: F401

__all__ = [
    "QUEUE_ORDER",
    "SCOPE",
    "AttemptQuerySet",
    "BatchQuerySet",
    "DependencyQuerySet",
    "EventQuerySet",
    "JobQuerySet",
    "OwnedQuerySet",
    "ScopeOf",
    "ServerOf",
    "SourceOf",
    "Unindexed",
    "WebhookQuerySet",
    "column",
    "waits_for_others",
]

QUEUE_ORDER = ("-lane_class", "priority", "position", "id")

# The jobs before one in QUEUE_ORDER. The condition on lane_class alone is what makes it a range
# of the index job_queue; the literals are what lets a planner see that the index fits.
# Ranges of one index, whose ends are all that is compared: with OR, or with (position, id) as a
# pair, SQLite compares each row ahead once more, which makes it twice as slow.
_AHEAD = tuple(
    f"FROM jobs_job WHERE status = 'pending' AND deleted_at IS NULL AND {ahead}"
    for ahead in (
        "lane_class > %(lane)s",
        "lane_class = %(lane)s AND priority < %(priority)s",
        "lane_class = %(lane)s AND priority = %(priority)s AND position < %(position)s",
        "lane_class = %(lane)s AND priority = %(priority)s AND position = %(position)s"
        " AND id < %(id)s",
    )
)
_ALL_AHEAD = "SELECT " + " + ".join(f"(SELECT COUNT(*) {ahead})" for ahead in _AHEAD)
_SOME_AHEAD = "SELECT " + " + ".join(
    f"(SELECT COUNT(*) FROM (SELECT 1 {ahead} LIMIT %(limit)s) AS ahead)" for ahead in _AHEAD
)

_BETWEEN = """
    SELECT id FROM jobs_job WHERE status = 'pending' AND deleted_at IS NULL
    AND lane_class = %s AND priority = %s AND position BETWEEN %s AND %s ORDER BY position, id
"""

_FIRST = """
    SELECT id FROM jobs_job WHERE status = 'pending' AND deleted_at IS NULL
    ORDER BY lane_class DESC, priority, position, id LIMIT %s
"""


class Unindexed(Func):
    """A column that SQLite must not choose an index by; elsewhere the column itself.

    SQLite knows how often a value occurs only as an average, if at all, and would walk a million
    rows along one condition while another leaves ten. PostgreSQL keeps statistics of its own.
    """

    template = "%(expressions)s"

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="+%(expressions)s", **context)


class ServerOf(Func):
    """The server that has a job, or the one that it is meant for; the literal is the index's."""

    template = "COALESCE(NULLIF(%(expressions)s)"
    arg_joiner = ", ''), "
    output_field = models.CharField()

    def __init__(self) -> None:
        super().__init__(F("server_alias"), F("target_server_alias"))


class SourceOf(Func):
    """The program that sent a job, whatever its version: what `jobs.sources.of_program` makes of
    `source_info`. Literals, so that the expression is the index's."""

    _FROM_SLASH = "SUBSTR(%(expressions)s, INSTR(%(expressions)s || '/', '/'))"
    template = (
        "(SUBSTR(%(expressions)s, 1, INSTR(%(expressions)s || '/', '/') - 1)"
        f" || SUBSTR({_FROM_SLASH}, INSTR({_FROM_SLASH} || ' ', ' ')))"
    )
    output_field = models.CharField()

    def __init__(self) -> None:
        super().__init__(F("source_info"))

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = self.template.replace("INSTR(", "STRPOS(")
        return self.as_sql(compiler, connection, template=template, **context)


# Whose job it is, as Actor.scope says; the same text in the indexes and in the statements.
SCOPE = "COALESCE('user:' || CAST(owner_id AS varchar(20)), 'key:' || api_key_id, '')"


class ScopeOf(Func):
    """Whose turn a job is: its owner's, or that of the key that made it."""

    arity = 0
    template = SCOPE
    output_field = models.CharField()


def column(name: str, *, indexed: bool) -> F | Unindexed:
    """Return a column for a condition that an index may serve, or that none must."""
    return F(name) if indexed else Unindexed(F(name))


def waits_for_others() -> Exists:
    """Return the condition that a job waits for other jobs, asked of their rows."""
    from jobs.models import JobDependency

    return Exists(JobDependency.objects.unmet().filter(job=OuterRef("pk")))


_Row = TypeVar("_Row", bound=models.Model)


class OwnedQuerySet(models.QuerySet[_Row]):
    """Rows with an owner, or with the key of the installation that made them."""

    def visible_to(self, actor: "Actor", *, indexed: bool = True) -> Self:
        """Keep what this actor may see (contracts/api.md, "Who sees what").

        Not `indexed`: something else is known to be narrower (`Unindexed`).
        """
        if actor.sees_all_jobs:
            return self.all()
        if actor.user_id is not None:
            return self.filter(Exact(column("owner", indexed=indexed), actor.user_id))
        if actor.key_prefix is not None:
            made = Exact(column("api_key", indexed=indexed), actor.key_prefix)
            return self.filter(made, IsNull(column("owner", indexed=False), True))
        return self.none()


class BatchQuerySet(OwnedQuerySet["Batch"]):
    """Bulk submissions."""


class WebhookQuerySet(OwnedQuerySet["Webhook"]):
    """Addresses that are told of events."""

    def visible_to(self, actor: "Actor", *, indexed: bool = True) -> Self:
        """Keep those of this actor (contracts/api.md, "Who sees what").

        A key has those that it made itself, unless it is one with `admin`: a leaked key could else
        turn other programs' webhooks to an address of its own, or read their logs. One that gets
        all jobs is for those who see all jobs.
        """
        rows = super().visible_to(actor, indexed=indexed)
        if actor.key_prefix is not None and "admin" not in actor.scopes:
            rows = rows.filter(api_key=actor.key_prefix)
        return rows if actor.sees_all_jobs else rows.filter(sees_all_jobs=False)


class JobQuerySet(OwnedQuerySet["Job"]):
    def update(self, **values: Any) -> int:
        """Change rows, and the columns that follow from what is changed (`jobs.models.derived`).

        A row whose checksummed values change has no checksum until it is looked at: see
        `jobs.checksums`, which writes it anew.
        """
        if not JOB.columns.isdisjoint(values):
            values.setdefault("checksum", "")
        return super().update(**values, **derived(values))

    def listed(self) -> Self:
        """Leave out the jobs that somebody deleted."""
        return self.filter(deleted_at__isnull=True)

    def queued(self) -> Self:
        """Keep the pending jobs, in the order of the queue."""
        return self.filter(status=Status.PENDING, deleted_at__isnull=True).order_by(*QUEUE_ORDER)

    def place_of(self, job: "Job", *, at_most: int | None = None) -> int | None:
        """Return a pending job's place in the queue, from 1; None beyond `at_most`.

        All jobs count, whoever may see them.
        """
        ahead = self._ahead(job, at_most)
        return ahead + 1 if at_most is None or ahead < at_most else None

    def _ahead(self, job: "Job", at_most: int | None = None) -> int:
        """Return how many jobs stand before one in the queue; of more, `at_most` or more.

        Plain SQL, because every submission asks: building this query from its parts takes five
        times as long as running it.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                _ALL_AHEAD if at_most is None else _SOME_AHEAD,
                {
                    "lane": job.lane_class,
                    "priority": job.priority,
                    "position": job.position,
                    "id": self.model._meta.pk.get_db_prep_value(job.pk, connection),
                    "limit": at_most,
                },
            )
            ahead: int = cursor.fetchone()[0]
        return ahead

    def places_of_new(self, jobs: Sequence["Job"]) -> list[int]:
        """Return the places of jobs that were just put into the queue, in this transaction.

        They stand close together: what is ahead of the first is counted once for all.
        """
        places: dict[UUID, int] = {}
        lines: dict[tuple[str, int], list[Job]] = {}
        for job in jobs:
            lines.setdefault((job.lane_class, job.priority), []).append(job)
        for (lane_class, priority), line in lines.items():
            line.sort(key=lambda job: (job.position, job.pk))
            first = self._ahead(line[0]) + 1
            if len(line) == 1:
                places[line[0].pk] = first
                continue
            with connection.cursor() as cursor:
                ends = line[0].position, line[-1].position
                cursor.execute(_BETWEEN, [lane_class, priority, *ends])
                ids = [self.model._meta.pk.to_python(row[0]) for row in cursor.fetchall()]
            begin = ids.index(line[0].pk)
            places.update(zip(ids[begin:], count(first), strict=False))
        return [places[job.pk] for job in jobs]

    def places_of(self, jobs: Iterable["Job"], *, at_most: int) -> dict[UUID, int]:
        """Return the places of these jobs in the queue, from 1; none beyond `at_most`.

        Plain SQL, because making a UUID of each of a thousand ids takes longer than reading them.
        """
        prepare = self.model._meta.pk.get_db_prep_value
        wanted = {prepare(job.pk, connection): job.pk for job in jobs}
        with connection.cursor() as cursor:
            cursor.execute(_FIRST, [at_most])
            places = enumerate((row[0] for row in cursor.fetchall()), start=1)
            return {wanted[job_id]: place for place, job_id in places if job_id in wanted}


class DependencyQuerySet(models.QuerySet["JobDependency"]):
    """What holds a job back is asked of the parent's row, never stored: a retry changes it."""

    def unmet(self) -> Self:
        """Keep those whose job may not start yet, or never: see `hopeless`."""
        goes_on = Q(parent__status__in=[Status.PENDING, Status.PROCESSING])
        goes_on &= Q(parent__deleted_at__isnull=True)
        return self.filter(~Q(parent__status=Status.COMPLETED), Q(on_failure="cancel") | goes_on)

    def hopeless(self) -> Self:
        """Keep those that take their job with them: the parent came to nothing, or is deleted."""
        return self.filter(
            Q(parent__status__in=[Status.FAILED, Status.CANCELLED])
            | Q(parent__status=Status.PENDING, parent__deleted_at__isnull=False),
            on_failure="cancel",
        )

    def of_waiting_jobs(self) -> Self:
        """Keep those of jobs that wait; there may be far more such jobs than dependencies."""
        return self.filter(
            Exact(Unindexed(F("job__status")), Status.PENDING),
            IsNull(Unindexed(F("job__deleted_at")), True),
        )


class AttemptQuerySet(models.QuerySet["Attempt"]):
    def open(self) -> Self:
        """Keep the attempts that have not ended."""
        return self.filter(ended_at__isnull=True)

    def uncleared(self, server_alias: str) -> Self:
        """Keep the attempts that this server's backend may still have (protocol rule 6)."""
        return self.filter(server_alias=server_alias, cleared_at__isnull=True)

    def last_outcomes(self, job_id: Any, limit: int) -> list[str]:
        """Return how the last ended attempts of a job ended, newest first.

        One that never reached the backend is no attempt (design §5): it breaks no row of others.
        """
        rows: Iterable[str] = (
            self.filter(job_id=job_id, ended_at__isnull=False)
            .exclude(outcome=Outcome.NEVER_REACHED)
            .order_by("-number")
            .values_list("outcome", flat=True)[:limit]
        )
        return list(rows)


class EventQuerySet(models.QuerySet["Event"]):
    def visible_to(self, actor: "Actor") -> Self:
        """Keep the public events and those of the jobs that this actor may see."""
        if actor.sees_all_jobs:
            return self.all()
        if actor.user_id is not None:
            return self.filter(Q(public=True) | Q(owner_id=actor.user_id))
        if actor.key_prefix is not None:
            own = Q(job__owner__isnull=True, job__api_key_id=actor.key_prefix)
            return self.filter(Q(public=True) | own)
        return self.none()

    def last_id(self) -> int:
        """Return the newest id, or 0."""
        newest: int | None = self.aggregate(newest=models.Max("id"))["newest"]
        return newest or 0
