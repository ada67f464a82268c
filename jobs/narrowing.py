"""Lists of jobs by several conditions, along the index of the one that leaves the fewest.

Each condition has an index in the order of the lists. SQLite can use one of them for a query, and
without statistics of the values at hand it guesses which; a wrong guess walks a million rows. So
it is told: the candidates are counted, a little, in their indexes, and the others are hidden from
it (`jobs.querysets.Unindexed`). PostgreSQL has such statistics and decides by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models.lookups import Exact, In

from apikeys.actors import Actor
from jobs.models import Job
from jobs.querysets import JobQuerySet, ServerOf, SourceOf, Unindexed, column

__all__ = ["Wanted"]

# Few enough that reading their rows is quick in any order; to count them costs a millisecond.
_FEW = 10_000
_VISIBLE = "visible"
_COMPUTED = {"server": ServerOf, "source": SourceOf}
_WITH_OWNER = ("status", "api_key")  # conditions whose index begins with the owner, too


@dataclass(frozen=True)
class Wanted:
    """What a list of jobs shows: `equal` maps names of conditions to the value of each."""

    actor: Actor
    statuses: Sequence[str] = ()
    equal: dict[str, Any] = field(default_factory=dict)
    created_after: datetime | None = None
    created_before: datetime | None = None

    @property
    def impossible(self) -> bool:
        """Tell whether a key that sees only its own jobs asks for those of another key.

        The database would look at all jobs of either to find none of both.
        """
        if self.actor.sees_all_jobs or self.actor.user_id is not None:
            return False
        return self.equal.get("api_key", self.actor.key_prefix) != self.actor.key_prefix

    def parts(self) -> list[JobQuerySet]:
        """Return the jobs, in disjoint parts that each are one range of an index."""
        return [self._part(equal) for equal in self._parts_equal()]

    def few_ranks(self, at_most: int) -> list[int] | None:
        """Return the ranks of the jobs' texts, or None where no index tells that they are few."""
        ranks: list[int] = []
        for equal in self._parts_equal():
            count, way = self._narrowest(equal)
            if count > at_most:
                return None
            with_text = self._jobs(equal, way).filter(text__isnull=False)
            ranks += with_text.values_list("text", flat=True)
        return ranks if len(ranks) <= at_most else None

    def unindexed(self) -> JobQuerySet:
        """Return the jobs, for a query that gets to them by their ids."""
        jobs = self._jobs(self.equal, frozenset())
        if self.statuses:
            jobs = jobs.filter(In(column("status", indexed=False), list(self.statuses)))
        return jobs

    def along(self) -> JobQuerySet:
        """Return the jobs by an index of what the words don't tell: the status, the source, or
        the server."""
        if not self.statuses:
            untold = "source" if "source" in self.equal else "server"
            return self._jobs(self.equal, frozenset([untold]))
        jobs = self._jobs(self.equal, frozenset())
        return jobs.filter(In(column("status", indexed=True), list(self.statuses)))

    def _parts_equal(self) -> list[dict[str, Any]]:
        if not self.statuses:
            return [self.equal]
        return [{**self.equal, "status": status} for status in self.statuses]

    def _part(self, equal: dict[str, Any]) -> JobQuerySet:
        if connection.vendor == "sqlite" and len(self._ways(equal)) > 1:
            return self._jobs(equal, self._narrowest(equal)[1])
        return self._jobs(equal, frozenset([_VISIBLE, *equal]))

    def _narrowest(self, equal: dict[str, Any]) -> tuple[int, frozenset[str]]:
        """Return the conditions that leave the fewest jobs by an index, and how many."""
        counted = [(self._count(equal, way), way) for way in self._ways(equal)]
        return min(counted, key=lambda found: found[0])

    def _ways(self, equal: dict[str, Any]) -> list[frozenset[str]]:
        """Return the sets of conditions that one index serves."""
        single = [frozenset([name]) for name in sorted(equal, reverse=True)]
        if self.actor.sees_all_jobs:
            return single
        if self.actor.user_id is None:
            return [*single, frozenset([_VISIBLE])]
        with_owner = [frozenset([_VISIBLE, name]) for name in _WITH_OWNER if name in equal]
        if len(equal) == len(with_owner) == 1:
            return with_owner
        # Of several that leave many, the first is taken: the index of the status knows more.
        return [*single, *(with_owner or [frozenset([_VISIBLE])])]

    def _count(self, equal: dict[str, Any], way: frozenset[str]) -> int:
        """Count what the index of some conditions holds, up to a number that is many."""
        only = {name: value for name, value in equal.items() if name in way}
        jobs = self._jobs(only, way, visible=_VISIBLE in way)
        return jobs.order_by().values("pk")[:_FEW].count()

    def _jobs(
        self, equal: dict[str, Any], indexed: frozenset[str], *, visible: bool = True
    ) -> JobQuerySet:
        if self.impossible:
            return Job.objects.none()
        jobs = Job.objects.listed()
        if visible:
            jobs = jobs.visible_to(self.actor, indexed=_VISIBLE in indexed)
        for name, value in equal.items():
            computed = _COMPUTED.get(name)
            of_job = computed() if computed else column(name, indexed=True)
            jobs = jobs.filter(Exact(of_job if name in indexed else Unindexed(of_job), value))
        if self.created_after is not None:
            jobs = jobs.filter(created_at__gt=self.created_after)
        if self.created_before is not None:
            jobs = jobs.filter(created_at__lt=self.created_before)
        return jobs
