"""Times as the contract writes them."""

from datetime import UTC, datetime
from typing import overload

from django.utils.dateparse import parse_datetime

from mobilesd.errors import bad_field

__all__ = ["read_moment", "rfc3339"]


@overload
def rfc3339(moment: datetime) -> str: ...
@overload
def rfc3339(moment: None) -> None: ...
def rfc3339(moment: datetime | None) -> str | None:
    """Return an aware time as RFC 3339 UTC with milliseconds (contracts/api.md, "Common")."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def read_moment(name: str, text: str) -> datetime:
    """Return the time that a field or filter names; raise InvalidInput."""
    try:
        # In a query, a "+" that was not encoded arrives as a blank.
        moment = parse_datetime(text.strip().replace(" ", "+"))
        if moment is not None and moment.tzinfo is not None:
            # A database wants it in UTC, which the first and last hours of the calendar lack.
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise bad_field(
            name,
            f"must be a time with its zone, not {text[:60]!r}.",
            "Write it like 2026-01-31T18:00:00Z.",
        )
    return moment
