"""From where a request came, by its id."""

from datetime import datetime, timedelta

from apikeys.models import Access

__all__ = ["address_of"]

# A line of the access log has the time at which its request began, or nearly.
_AROUND = timedelta(seconds=60)


def address_of(request_id: str, at: datetime) -> str:
    """Return the address that sent a request of about this time; "" if the log has none.

    The time bounds what is read: the log has an index of times, and none of ids.
    """
    if not request_id:
        return ""
    lines = Access.objects.filter(at__gte=at - _AROUND, at__lte=at + _AROUND, request_id=request_id)
    return lines.values_list("address", flat=True).first() or ""
