"""Pages of what was found by words (`mobilesd.search`), as lists show them.

The index gives matches in the order of their creation, so a page costs as much for a word that a
million rows have as for one that one row has. What the index does not know (a status, say) is
asked of the rows of one stretch after the other. How far one request goes is bounded: a page may
hold fewer rows than asked for, even none, while its `next_cursor` leads on, and `total` then is
what was counted so far, with `total_is_exact` false. An offset is walked through row by row, so
it is bounded as well; a cursor goes on at its place, however far that is.
"""

from array import array
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from mobilesd.errors import Problem, bad_field
from mobilesd.http.paging import EXACT_TOTAL, Page, PageRequest, after, write_cursor, write_place
from mobilesd.search import (
    RANKS_PER_MOMENT,
    Expression,
    SearchIndex,
    Window,
    first_rank,
    moment_of,
)

__all__ = ["MAX_FOUND_OFFSET", "Found", "check_offset", "paginate_found"]

MAX_FOUND_OFFSET = 10_000  # of a search; the matches in front of a page are all looked at

LOOKED_AT = 2_000  # matches whose rows one request asks about for a page, and for its total
_STRETCH = 2_000
_FIRST = 4  # matches for each row of the page that a walk begins with; then come stretches
_DENSE = 4
_SPILL = timedelta(seconds=1)  # more texts of a moment than it has ranks get those of the next
_FIRST_ID, _LAST_ID = UUID(int=0), UUID(int=2**128 - 1)

_Row = TypeVar("_Row", bound=Model)


@dataclass(frozen=True)
class Found(Generic[_Row]):
    """What is searched for in which index, and which rows of it are wanted.

    `rows` must not tempt the database to use another index than that of their texts; `along` are
    the same rows along an index in the order of lists, for a span of time. `texts` belong to rows
    by the relation `owner`, which is called `text` from there. `told`: the expression alone says
    which rows are wanted.
    """

    rows: QuerySet[_Row]
    along: QuerySet[_Row]
    texts: QuerySet[Any]
    owner: str
    text: str
    index: SearchIndex
    expression: Expression
    created_after: datetime | None = None
    created_before: datetime | None = None
    told: bool = True

    @property
    def window(self) -> Window:
        window = Window()
        if self.created_after is not None:
            window = replace(window, low=first_rank(self.created_after) + RANKS_PER_MOMENT)
        if self.created_before is not None:
            window = replace(window, high=first_rank(self.created_before) - 1)
        return window

    def at(self, ranks: list[int]) -> QuerySet[_Row]:
        """Return the wanted rows among those of these ranks."""
        return self.rows.filter(**{f"{self.text}__id__one_of": array("q", ranks)})

    def keys_at(self, ranks: list[int]) -> QuerySet[Any, tuple[int, UUID]]:
        """Return the ranks and ids of the wanted rows among those of these ranks.

        Ids are random: to look up two thousand reads as many pages. Where the matches are dense,
        all wanted rows of their time are a few pages of an index instead.
        """
        if not self.told and ranks:
            low, high = moment_of(min(ranks)) - _SPILL, moment_of(max(ranks))
            span = self.along.filter(created_at__gte=low, created_at__lte=high).order_by()
            most = _DENSE * len(ranks)
            if span.values("pk")[: most + 1].count() <= most:
                texts = self.texts.filter(id__one_of=array("q", ranks))
                texts = texts.filter(**{f"{self.owner}__in": span.values("pk")})
                return texts.values_list("id", f"{self.owner}_id")
        return self.at(ranks).order_by().values_list(f"{self.text}__id", "pk")


def check_offset(wanted: PageRequest) -> None:
    """Refuse an offset that is too far for a search; raise InvalidInput that names it."""
    if wanted.offset > MAX_FOUND_OFFSET:
        raise _too_far(f"must be at most {MAX_FOUND_OFFSET} in a search.")


def _too_far(sentence: str) -> Problem:
    return bad_field("offset", sentence, "Follow next_cursor from the first page instead.")


def paginate_found(found: Found[_Row], wanted: PageRequest) -> Page[_Row]:
    """Return one page of what was found, in the order of `paginate`.

    Raises InvalidInput for an offset that one request can't get to.
    """
    check_offset(wanted)
    count = found.index.count(found.expression, found.window, EXACT_TOTAL + 1) if found.told else -1
    if not count:
        return Page(rows=[], total=0, total_is_exact=True, next_cursor=None)
    needed = wanted.offset + wanted.limit + 1
    walk = _Walk.of_page(found, wanted, needed)
    walk.until(needed)
    rows = walk.rows(wanted.offset, needed)
    shown = rows[: wanted.limit]
    cursor = None
    if len(rows) > wanted.limit:
        cursor = write_cursor(shown[-1])
    elif len(walk.keys) < needed and not walk.at_end:
        if len(walk.keys) < wanted.offset:
            # A cursor would lead to rows that the offset was to leave out.
            raise _too_far("is further than one request of this search can go.")
        cursor = write_place(*walk.place())
    exact = count <= EXACT_TOTAL
    if not found.told:
        # The first page is where the count begins, too.
        counted = walk if wanted.after is None else _Walk(found, found.window, wanted.descending)
        count, exact = counted.count()
    return Page(
        rows=shown,
        total=min(count, EXACT_TOTAL),
        total_is_exact=exact,
        next_cursor=cursor,
    )


@dataclass
class _Walk(Generic[_Row]):
    """A search along the index, from one end of a window on, many matches at once."""

    found: Found[_Row]
    window: Window  # what is left of it
    descending: bool
    size: int = _STRETCH
    keys: list[tuple[int, UUID]] = field(default_factory=list)  # ranks and ids, in order
    looked_at: int = 0
    last_rank: int = 0
    at_end: bool = False

    @classmethod
    def of_page(cls, found: Found[_Row], wanted: PageRequest, needed: int) -> "_Walk[_Row]":
        """Return the walk that begins where the page does."""
        window = found.window
        if wanted.after is not None:
            at = first_rank(wanted.after[0])
            if wanted.descending:
                window = replace(window, high=min(window.high, at + RANKS_PER_MOMENT - 1))
            else:
                window = replace(window, low=max(window.low, at))
            found = replace(found, rows=after(found.rows, wanted), along=after(found.along, wanted))
        size = needed if found.told else _FIRST * needed
        return cls(found, window, wanted.descending, min(size, _STRETCH))

    def until(self, needed: int) -> None:
        """Go on until so many rows are found, the bound is reached, or the matches end."""
        bound = max(LOOKED_AT, needed)
        while len(self.keys) < needed and self.looked_at < bound and not self.at_end:
            self.keys += sorted(self._next(bound), key=_place, reverse=self.descending)

    def count(self) -> tuple[int, bool]:
        """Go on to the bound; return how many rows were found in all, and whether these are all."""
        count = len(self.keys)
        while self.looked_at < LOOKED_AT and not self.at_end:
            count += self._next(LOOKED_AT).count()
        # Ended by chance at the last match? Then the next stretch says so.
        return count, self.at_end or not self._ranks(1)

    def rows(self, start: int, end: int) -> list[_Row]:
        """Return some of the rows that were found."""
        ranks = [rank for rank, _ in self.keys[start:end]]
        rows: list[Any] = list(self.found.at(ranks)) if ranks else []
        rows.sort(key=lambda row: (row.created_at, row.pk), reverse=self.descending)
        return rows

    def place(self) -> tuple[datetime, UUID]:
        """Return where the last match that was looked at is in the order of lists."""
        rows = self.found.rows.model._default_manager.filter(**{self.found.text: self.last_rank})
        place: tuple[datetime, UUID] | None = rows.values_list("created_at", "pk").first()
        if place is not None:
            return place
        # Deleted meanwhile: all of its moment is looked at again, and nothing is left out.
        return moment_of(self.last_rank), _LAST_ID if self.descending else _FIRST_ID

    def _next(self, bound: int) -> QuerySet[Any, tuple[int, UUID]]:
        """Return the ranks and ids of the rows among the next matches; go behind these."""
        size = min(self.size, bound - self.looked_at)
        ranks = self._ranks(size)
        self.at_end = len(ranks) < size
        self.looked_at += len(ranks)
        self.size = _STRETCH
        if ranks:
            self.last_rank = ranks[-1]
            beyond = {"high": ranks[-1] - 1} if self.descending else {"low": ranks[-1] + 1}
            self.window = replace(self.window, **beyond)
        return self.found.keys_at(ranks)

    def _ranks(self, size: int) -> list[int]:
        expression, index = self.found.expression, self.found.index
        return index.ranks(expression, self.window, size, descending=self.descending)


def _place(key: tuple[int, UUID]) -> tuple[int, UUID]:
    """Return what orders rows as lists do; ranks of one moment need not be in the order of ids."""
    rank, row_id = key
    return rank // RANKS_PER_MOMENT, row_id
