"""Rules over the rows of a table, in short statements: the table may be large and in use."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import Count, F, Q, Sum
from django.utils import timezone

from jobs.models import Retention
from mobilesd.retention.figures import GIGABYTE, Figure
from mobilesd.sqlite import write_turn

__all__ = ["Rows"]

_AT_ONCE = 100
_PAUSE_SECONDS = 0.05
# The size of a table is the sum of all its rows. A page that is shown does not add them up anew.
_REMEMBERED_SECONDS = 600.0

_NOTHING = Q(pk__in=[])

_sizes: dict[str, tuple[float, int]] = {}


@dataclass(frozen=True)
class Rows:
    """One kind of row: which of them may go, when each came to be, and how large it is.

    `delete` asks again whether each may go.
    """

    name: str
    label: str
    rows: Callable[[], models.QuerySet[Any]]
    at: str
    size: Any
    delete: Callable[[Sequence[Any]], None]

    def figure(self, rule: Retention, *, fresh: bool) -> Figure:
        """Return what the rule would delete; unless `fresh`, by a size of some minutes ago."""
        doomed = self.rows().filter(self._beyond(rule, fresh=fresh))
        found = doomed.aggregate(count=Count("pk"), bytes=Sum(self.size))
        return Figure(found["count"], int(found["bytes"] or 0))

    def apply(self, rule: Retention) -> int:
        """Delete what is beyond the limits, the oldest first, in slices; return how many.

        A lane that waits for the write lock must not look dead.
        """
        doomed = self.rows().filter(self._beyond(rule, fresh=True)).order_by(self.at, "pk")
        places = doomed.values_list(self.at, "pk")
        total, behind = 0, Q()
        while some := list(places.filter(behind)[:_AT_ONCE]):
            with write_turn(), transaction.atomic():
                self.delete([pk for _, pk in some])
            total += len(some)
            behind = self._behind(*some[-1])
            time.sleep(_PAUSE_SECONDS)
        if total:
            _sizes.pop(self.name, None)
        return total

    def _beyond(self, rule: Retention, *, fresh: bool) -> Q:
        """Return the condition of what is beyond any of the rule's limits now."""
        beyond = _NOTHING
        if rule.days is not None:
            beyond |= Q(**{f"{self.at}__lt": timezone.now() - timedelta(days=rule.days)})
        if rule.most is not None:
            newest_first = self.rows().order_by(F(self.at).desc(), F("pk").desc())
            first = newest_first.values_list(self.at, "pk")[rule.most : rule.most + 1]
            for at, pk in first:
                beyond |= self._up_to(at, pk)
        if rule.gigabytes is not None:
            beyond |= self._too_large(int(rule.gigabytes * GIGABYTE), fresh=fresh)
        return beyond

    def _too_large(self, most_bytes: int, *, fresh: bool) -> Q:
        """Return the condition of the oldest rows without which the rest is small enough."""
        over = self._bytes(fresh=fresh) - most_bytes
        if over <= 0:
            return _NOTHING
        oldest_first = self.rows().order_by(self.at, "pk").annotate(own=self.size)
        for at, pk, own in oldest_first.values_list(self.at, "pk", "own").iterator():
            over -= own or 0
            if over <= 0:
                return self._up_to(at, pk)
        return ~_NOTHING

    def _bytes(self, *, fresh: bool) -> int:
        summed_at, known = _sizes.get(self.name, (0.0, 0))
        if not fresh and summed_at and time.monotonic() - summed_at < _REMEMBERED_SECONDS:
            return known
        found = int(self.rows().aggregate(bytes=Sum(self.size))["bytes"] or 0)
        _sizes[self.name] = (time.monotonic(), found)
        return found

    def _up_to(self, at: Any, pk: Any) -> Q:
        return Q(**{f"{self.at}__lt": at}) | Q(**{self.at: at, "pk__lte": pk})

    def _behind(self, at: Any, pk: Any) -> Q:
        return Q(**{f"{self.at}__gt": at}) | Q(**{self.at: at, "pk__gt": pk})
