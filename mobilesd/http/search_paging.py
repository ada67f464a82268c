"""Pages of what was found by words (`mobilesd.search`), as lists show them.

The index gives matches in the order of their creation, so a page costs as much for a word that a
million rows have as for one that one row has. What the index does not know (a status, say) is
asked of the rows of one stretch after the other. How far one request goes is bounded: a page may
hold fewer rows than asked for, even none, while its `next_cursor` leads on, and `total` then is
what was counted so far, with `total_is_exact` false.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet

from mobilesd.http.paging import EXACT_TOTAL, Page, PageRequest, after, write_cursor
from mobilesd.search import RANKS_PER_MOMENT, Expression, SearchIndex, Window, first_rank

__all__ = ["Found", "paginate_found"]

LOOKED_AT = 4_000  # matches whose rows one request reads for a page…
COUNTED = 2_000  # …and for its total
_STRETCH = 1_000

_Row = TypeVar("_Row", bound=Model)


@dataclass(frozen=True)
class Found(Generic[_Row]):
    """What is searched for in which index, and which rows of it are wanted.

    `rows` must not tempt the database to use another index than that of their texts. `text` is
    the relation from a row to its text. `told`: the expression alone says which rows are wanted.
    """

    rows: QuerySet[_Row]
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
        return self.rows.filter(**{f"{self.text}__in": ranks})


def paginate_found(found: Found[_Row], wanted: PageRequest) -> Page[_Row]:
    """Return one page of what was found, in the order of `paginate`."""
    total, exact = _total(found)
    rows, resume = _rows(found, wanted)
    shown = rows[wanted.offset : wanted.offset + wanted.limit]
    cursor = None
    if len(rows) > wanted.offset + wanted.limit:
        cursor = write_cursor(shown[-1])
    elif resume is not None:
        cursor = write_cursor(resume)
    return Page(rows=shown, total=total, total_is_exact=exact, next_cursor=cursor)


def _total(found: Found[_Row]) -> tuple[int, bool]:
    if found.told:
        count = found.index.count(found.expression, found.window, EXACT_TOTAL + 1)
        return min(count, EXACT_TOTAL), count <= EXACT_TOTAL
    count = 0
    left = COUNTED
    for ranks in _stretches(found, found.window, _STRETCH, descending=True):
        count += found.at(ranks).order_by().count()
        left -= len(ranks)
        if left <= 0:
            # Ended by chance at the last match? Then the next stretch says so.
            rest = replace(found.window, high=ranks[-1] - 1)
            return count, not found.index.ranks(found.expression, rest, 1, descending=True)
    return count, True


def _stretches(
    found: Found[_Row], window: Window, size: int, *, descending: bool
) -> Iterator[list[int]]:
    """Yield the ranks of the matches from one end of the window on, more and more at once."""
    while True:
        ranks = found.index.ranks(found.expression, window, size, descending=descending)
        if ranks:
            yield ranks
        if len(ranks) < size:
            return
        last = ranks[-1]
        window = replace(window, **({"high": last - 1} if descending else {"low": last + 1}))
        size = min(2 * size, _STRETCH)


def _rows(found: Found[_Row], wanted: PageRequest) -> tuple[list[_Row], Any]:
    """Return the first rows of the page and those before it, one more if there are more.

    Also the row to go on after, if the bound was reached before.
    """
    needed = wanted.offset + wanted.limit + 1
    window, part = found.window, found
    if wanted.after is not None:
        at = first_rank(wanted.after[0])
        if wanted.descending:
            window = replace(window, high=min(window.high, at + RANKS_PER_MOMENT - 1))
        else:
            window = replace(window, low=max(window.low, at))
        part = replace(found, rows=after(found.rows, wanted))
    rows: list[_Row] = []
    left = max(LOOKED_AT, needed)
    size = min(needed, _STRETCH)
    for ranks in _stretches(part, window, size, descending=wanted.descending):
        stretch = list(part.at(ranks))
        stretch.sort(key=lambda row: (row.created_at, row.pk), reverse=wanted.descending)  # type: ignore[attr-defined]
        rows += stretch
        left -= len(ranks)
        if len(rows) >= needed:
            return rows[:needed], None
        if left <= 0:
            last = found.rows.model._default_manager.filter(**{found.text: ranks[-1]})
            return rows, last.first()
    return rows, None
