"""Room between the places of the queue.

A place is a whole number of nanoseconds (`Job.position`): when the job was submitted, or between
its neighbours where it was dragged to. Numbers and not strings between neighbours: a lane's claim
and a job's place are ranges of one index, in which eight bytes beat a text that grows with each
drag, and a job submitted now has its place without looking for the last one. What strings are
for, room that never ends, comes from the number line itself: 64 bits hold thousands of millions
of places a second apart, and below the first job there is nothing. So a move writes one row.

Only where jobs were dragged into the same gap some twenty times it is used up. Then the rows
around are spread over the smallest stretch that has room to spare: the more rows, the more room
is asked for, so that many moves pay for one spread. `widen` does the same in the background,
before a gap is used up. Neither changes the order that anybody sees.

What may come back keeps its place as well: jobs that run (they may be put back), and those whose
cancelling or deleting can still be undone.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q

from jobs.choices import Status
from jobs.models import Job, hold_queue
from jobs.querysets import JobQuerySet
from jobs.services import undo
from mobilesd.sqlite import write_turn

__all__ = ["WIDE", "Group", "Place", "renumber", "widen"]

WIDE = 2**30  # about a second: thirty moves into one gap
NARROW = 64  # a gap that six moves use up
_FIRST_WINDOW = 8  # rows to each side
_AT_ONCE = 256  # rows to each side that the background spreads in one transaction
_SPOTS = 200  # narrow gaps that one round widens
_PAUSE_SECONDS = 0.02

# Position and id: the order of the queue inside a group, in the database as in Python.
Place = tuple[int, UUID]

_NARROW_GAPS = """
    SELECT lane_class, priority, id FROM (
        SELECT lane_class, priority, position, id,
            LAG(position) OVER (
                PARTITION BY lane_class, priority ORDER BY position, id
            ) AS before
        FROM jobs_job WHERE status = 'pending' AND deleted_at IS NULL
    ) AS places WHERE position - before < %s LIMIT %s
"""


@dataclass
class Group:
    """The places of one lane class and priority; use it inside one transaction.

    `leaving`: jobs that are being moved, whose old places are free.
    """

    lane_class: str
    priority: int
    leaving: frozenset[UUID] = frozenset()
    rows_written: int = field(default=0, init=False)
    _absent: list[Place] | None = field(default=None, init=False)

    def waiting(self) -> JobQuerySet:
        """Return the waiting jobs, without those that are leaving, in order."""
        jobs = Job.objects.queued().filter(lane_class=self.lane_class, priority=self.priority)
        if self.leaving:
            jobs = jobs.exclude(pk__in=self.leaving)
        return jobs.order_by("position", "id")

    def below(self, place: Place, count: int) -> list[Place]:
        """Return the nearest places before this one, nearest first."""
        position, pk = place
        nearest = self.waiting().filter(Q(position__lt=position) | Q(position=position, pk__lt=pk))
        found = list(nearest.order_by("-position", "-id").values_list("position", "pk")[:count])
        found += [absent for absent in self._places_of_absent() if absent < place]
        return sorted(found, reverse=True)[:count]

    def above(self, place: Place, count: int) -> list[Place]:
        """Return the nearest places after this one, nearest first."""
        position, pk = place
        nearest = self.waiting().filter(Q(position__gt=position) | Q(position=position, pk__gt=pk))
        found = list(nearest.values_list("position", "pk")[:count])
        found += [absent for absent in self._places_of_absent() if absent > place]
        return sorted(found)[:count]

    def between(self, left: Place, right: Place, count: int) -> list[int]:
        """Return so many positions between two neighbours; spreads the rows around if need be."""
        step = (right[0] - left[0]) // (count + 1)
        if step >= 1:
            return [left[0] + step * number for number in range(1, count + 1)]
        return self._spread(left, right, count, _FIRST_WINDOW, most=None)

    def separate(self, place: Place, *, window: int, at_most: bool = False) -> None:
        """Spread so many rows to each side of a place, none of which changes its rank.

        More of them where that gives no room to spare, unless `at_most`.
        """
        left = [*self.below(place, 1), *self.above(place, 1)]
        if left:
            pair = sorted([place, left[0]])
            self._spread(pair[0], pair[1], 0, window, most=window if at_most else None)

    def _spread(
        self, left: Place, right: Place, count: int, window: int, *, most: int | None
    ) -> list[int]:
        """Give the rows around a gap room; return `count` positions inside of it.

        Nothing goes above what is the last one now: what is submitted next comes after it.
        """
        while True:
            lower = [left, *self.below(left, window)]
            upper = [right, *self.above(right, window)]
            floor = lower.pop()[0] if len(lower) > window else None
            ceiling = upper.pop()[0] if len(upper) > window else upper[-1][0] + 1
            rows = [*reversed(lower), *upper]
            total = len(rows) + count
            if floor is None:
                step = WIDE
                first = ceiling - 1 - WIDE * (total - 1)
                break
            step = (ceiling - floor) // (total + 1)
            if step >= total or (most is not None and window >= most):
                first = floor + step
                break
            window *= 2
        if step < 1:  # only the background stops before there is room, and leaves it as it is
            return []
        places = [first + step * number for number in range(total)]
        inside = places[len(lower) : len(lower) + count]
        kept = [*places[: len(lower)], *places[len(lower) + count :]]
        self._renumber(rows, kept)
        return inside

    def _renumber(self, rows: Sequence[Place], positions: Sequence[int]) -> None:
        changed = [
            (new, pk, old)
            for (old, pk), new in zip(rows, positions, strict=True)
            if new != old and pk not in self.leaving
        ]
        self.rows_written += len(changed)
        renumber((new, pk) for new, pk, _ in changed)
        if self._absent is not None:
            now_at = {pk: new for new, pk, _ in changed}
            self._absent = [(now_at.get(pk, position), pk) for position, pk in self._absent]

    def _places_of_absent(self) -> Sequence[Place]:
        """Return the places of the jobs that don't wait but may come back."""
        if self._absent is None:
            here = Job.objects.filter(lane_class=self.lane_class, priority=self.priority)
            running = here.listed().filter(status=Status.PROCESSING)
            found = set(running.values_list("position", "pk"))
            for ids in _chunks(undo.open_jobs(), 500):
                back = here.filter(pk__in=ids).exclude(
                    status=Status.PENDING, deleted_at__isnull=True
                )
                found |= set(back.values_list("position", "pk"))
            self._absent = [place for place in found if place[1] not in self.leaving]
        return self._absent


def renumber(places: Iterable[Place]) -> None:
    """Write positions, in one statement for all rows; nothing else of a row is touched."""
    prepare = Job._meta.pk.get_db_prep_value
    rows = [(position, prepare(pk, connection)) for position, pk in places]
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany("UPDATE jobs_job SET position = %s WHERE id = %s", rows)


def _chunks(ids: Sequence[UUID], size: int) -> Iterator[Sequence[UUID]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def widen() -> int:
    """Make room where jobs were dragged together; return how many rows were renumbered.

    Works in short transactions with pauses; who drags meanwhile finds the order unchanged.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NARROW_GAPS, [NARROW, _SPOTS])
        spots = [(lane, priority, _uuid(pk)) for lane, priority, pk in cursor.fetchall()]
    written = 0
    for lane_class, priority, pk in spots:
        with write_turn(), transaction.atomic():
            hold_queue()
            written += _widen_at(Group(lane_class, priority), pk)
        time.sleep(_PAUSE_SECONDS)
    return written


def _widen_at(group: Group, pk: UUID) -> int:
    position = group.waiting().filter(pk=pk).values_list("position", flat=True).first()
    if position is None:
        return 0  # it started, or was moved elsewhere
    below = group.below((position, pk), 1)
    if below and position - below[0][0] < NARROW:  # else a spot before has made room here too
        group.separate((position, pk), window=_AT_ONCE, at_most=True)
    return group.rows_written


def _uuid(value: UUID | str) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)
