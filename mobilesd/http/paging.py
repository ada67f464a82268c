"""Lists in pages: by offset, or by a cursor that stays true while rows come and go.

Rows are ordered by when they were made, ties by `id` (contracts/api.md, "Lists").
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Self, TypeVar
from uuid import UUID

from django.db.models import Model, Q, QuerySet

from mobilesd.errors import bad_field

__all__ = [
    "BY_CREATION",
    "EXACT_TOTAL",
    "Order",
    "Page",
    "PageRequest",
    "after",
    "paginate",
    "write_cursor",
    "write_place",
]

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_OFFSET = 1_000_000
EXACT_TOTAL = 10_000

_Row = TypeVar("_Row", bound=Model)


@dataclass(frozen=True)
class Order:
    """What a list is ordered by: a time, ties by the id; `read_id` reads one out of a cursor."""

    at: str = "created_at"
    read_id: Callable[[str], Any] = UUID


BY_CREATION = Order()


def _number(query: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high):
        raise bad_field(name, f"must be a whole number from {low} to {high}, not {text[:40]!r}.")
    return int(text)


def _read_cursor(text: str, order: Order) -> tuple[datetime, Any]:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
        moment, _, row_id = raw.partition("|")
        at = datetime.fromisoformat(moment)
        if at.tzinfo is None:
            raise ValueError(moment)
        return at.astimezone(UTC), order.read_id(row_id)
    except (ValueError, OverflowError, binascii.Error):
        raise bad_field("cursor", "must be a next_cursor that this API gave out.") from None


def write_cursor(row: Any, order: Order = BY_CREATION) -> str:
    """Return the cursor of the rows that come after this one."""
    return write_place(getattr(row, order.at), row.pk)


def write_place(at: datetime, row_id: Any) -> str:
    """Return the cursor of the rows that come after this time and id."""
    raw = f"{at.isoformat()}|{row_id}".encode("ascii")
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


@dataclass(frozen=True)
class PageRequest:
    """Which part of a list somebody wants."""

    limit: int = DEFAULT_LIMIT
    offset: int = 0
    descending: bool = True
    after: tuple[datetime, Any] | None = None
    by: Order = BY_CREATION

    @classmethod
    def read(cls, query: Mapping[str, str], by: Order = BY_CREATION) -> Self:
        """Read limit, offset or cursor, and order; raise InvalidInput that names the field."""
        order = query.get("order", "desc")
        if order not in {"asc", "desc"}:
            raise bad_field("order", f"must be asc or desc, not {order[:40]!r}.")
        cursor = query.get("cursor") or ""
        offset = _number(query, "offset", 0, 0, MAX_OFFSET)
        if cursor and offset:
            raise bad_field("cursor", "can't be combined with offset.")
        return cls(
            limit=_number(query, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT),
            offset=offset,
            descending=order == "desc",
            after=_read_cursor(cursor, by) if cursor else None,
            by=by,
        )


@dataclass(frozen=True)
class Page(Generic[_Row]):
    """One part of a list; `total` is exact up to EXACT_TOTAL and stays there above it."""

    rows: Sequence[_Row]
    total: int
    total_is_exact: bool
    next_cursor: str | None

    def counts(self) -> dict[str, Any]:
        """Return the fields that every list answer has beside its rows."""
        return {
            "total": self.total,
            "total_is_exact": self.total_is_exact,
            "next_cursor": self.next_cursor,
        }


def after(rows: QuerySet[_Row], wanted: PageRequest) -> QuerySet[_Row]:
    """Keep what comes after the cursor, if there is one."""
    if wanted.after is None:
        return rows
    at, row_id = wanted.after
    side = f"{wanted.by.at}__{'lt' if wanted.descending else 'gt'}"
    tie = f"pk__{'lt' if wanted.descending else 'gt'}"
    # The first condition is what the index can use; the second decides ties.
    return rows.filter(**{f"{side}e": at}).filter(Q(**{side: at}) | Q(**{tie: row_id}))


def paginate(
    rows: QuerySet[_Row],
    wanted: PageRequest,
    *more: QuerySet[_Row],
    counted_in: Sequence[QuerySet[_Row]] | None = None,
) -> Page[_Row]:
    """Return one page of the rows, in a few queries whose cost does not grow with the table.

    `more` are further rows of the list, none of them twice: a list of two statuses is two ranges
    of an index, which a database merges in order, while it would sort what `IN` finds. The total
    is that of `counted_in`, if given.
    """
    parts = [rows, *more]
    counted = 0
    for part in counted_in or parts:
        left = EXACT_TOTAL + 1 - counted
        counted += part.order_by().values("pk")[:left].count() if left else 0
    sign = "-" if wanted.descending else ""
    rest, *others = (after(part.order_by(), wanted) for part in parts)
    merged = rest.union(*others, all=True) if others else rest
    ordered = merged.order_by(f"{sign}{wanted.by.at}", f"{sign}id")
    found = list(ordered[wanted.offset : wanted.offset + wanted.limit + 1])
    shown = found[: wanted.limit]
    return Page(
        rows=shown,
        total=min(counted, EXACT_TOTAL),
        total_is_exact=counted <= EXACT_TOTAL,
        next_cursor=write_cursor(shown[-1], wanted.by) if len(found) > wanted.limit else None,
    )
