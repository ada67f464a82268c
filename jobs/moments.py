"""Moments in words, as the clock on the wall of some time zone shows them."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils import timezone

__all__ = ["exact", "in_words"]

_FAR_DAYS = 300  # from here on the year is told as well


def in_words(moment: datetime, now: datetime, zone: ZoneInfo | None = None) -> str:
    """Return a moment as seen from now: "23:00 tomorrow (Europe/Berlin)".

    In the installation's time zone unless another is given. Only for what is read soon: what is
    kept says `exact`.
    """
    return f"{_as_seen(moment, now, zone)} ({zone or timezone.get_current_timezone_name()})"


def _as_seen(moment: datetime, now: datetime, zone: ZoneInfo | None) -> str:
    local, today = timezone.localtime(moment, zone), timezone.localtime(now, zone)
    days = (local.date() - today.date()).days
    date = f"{local:%a %d %b %Y}" if abs(days) > _FAR_DAYS else f"{local:%a %d %b}"
    return f"{local:%H:%M}" + {0: "", 1: " tomorrow", -1: " yesterday"}.get(days, f" on {date}")


def exact(moment: datetime, *, seconds: bool = False) -> str:
    """Return a moment with its date in the installation's time zone: "2026-03-01 12:01 CET"."""
    local = timezone.localtime(moment)
    return local.strftime("%Y-%m-%d %H:%M:%S %Z" if seconds else "%Y-%m-%d %H:%M %Z")
