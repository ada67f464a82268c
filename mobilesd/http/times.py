"""Times as the contract writes them."""

from datetime import UTC, datetime
from typing import overload

__all__ = ["rfc3339"]


@overload
def rfc3339(moment: datetime) -> str: ...
@overload
def rfc3339(moment: None) -> None: ...
def rfc3339(moment: datetime | None) -> str | None:
    """Return an aware time as RFC 3339 UTC with milliseconds (contracts/api.md, "Common")."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
