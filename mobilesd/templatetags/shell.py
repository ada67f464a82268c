"""What the templates of all pages use: icons, times, names and numbers in people's words."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from jobs import moments

__all__ = ["register"]

register = template.Library()

# Drawn for a box of 24 × 24, with strokes in the text's colour.
_ICONS = {
    "queue": '<path d="M4 6h16M4 12h16M4 18h10"/>',
    "new": '<path d="M12 5v14M5 12h14"/>',
    "server": (
        '<rect x="3.5" y="4" width="17" height="6.5" rx="2"/>'
        '<rect x="3.5" y="13.5" width="17" height="6.5" rx="2"/>'
        '<path d="M7.5 7.25h.01M7.5 16.75h.01"/>'
    ),
    "close": '<path d="M6 6l12 12M18 6L6 18"/>',
    "retry": '<path d="M20 11a8 8 0 1 0-2.3 6.3M20 5v6h-6"/>',
    "trash": '<path d="M4.5 7h15M9.5 7V4.5h5V7M6.5 7l1 12.5h9l1-12.5M10 11v5M14 11v5"/>',
    "download": '<path d="M12 4v11M7 10.5l5 5 5-5M5 20h14"/>',
    "copy": (
        '<rect x="8.5" y="8.5" width="11" height="11" rx="2"/>'
        '<path d="M15.5 8.5v-2a2 2 0 0 0-2-2h-7a2 2 0 0 0-2 2v7a2 2 0 0 0 2 2h2"/>'
    ),
    "picture": (
        '<rect x="3.5" y="4.5" width="17" height="15" rx="2.5"/>'
        '<circle cx="9" cy="10" r="1.5"/><path d="M4 17l5-4 3.5 3 3.5-3.5 4.5 4.5"/>'
    ),
    "dice": (
        '<rect x="4" y="4" width="16" height="16" rx="3.5"/>'
        '<path d="M8.5 8.5h.01M15.5 8.5h.01M12 12h.01M8.5 15.5h.01M15.5 15.5h.01"/>'
    ),
    "swap": '<path d="M4 8.5h14M14.5 5L18 8.5 14.5 12M20 15.5H6M9.5 12L6 15.5 9.5 19"/>',
    "left": '<path d="M14.5 5.5L8 12l6.5 6.5"/>',
    "right": '<path d="M9.5 5.5L16 12l-6.5 6.5"/>',
    "down": '<path d="M5.5 9.5L12 16l6.5-6.5"/>',
    "check": '<path d="M5 12.5l4.5 4.5L19 7.5"/>',
    "alert": '<path d="M12 4L2.8 20h18.4zM12 10v4.5M12 17.2h.01"/>',
    "pause": '<path d="M8.5 5.5v13M15.5 5.5v13"/>',
    "play": '<path d="M8 5l11 7-11 7z"/>',
    "pencil": '<path d="M4.5 19.5l1-4L16 5l3 3L8.5 18.5zM13.5 7.5l3 3"/>',
    "pulse": '<path d="M3 12.5h4l2.5-7 4.5 13 2.5-6h4.5"/>',
    "clock": '<circle cx="12" cy="12" r="8"/><path d="M12 7.5V12l3 2"/>',
    "again": '<path d="M4 12a7 7 0 0 1 7-7h8M15.5 1.5L19 5l-3.5 3.5M20 12a7 7 0 0 1-7 7H5"/>',
    "person": '<circle cx="12" cy="8.5" r="3.8"/><path d="M4.5 20c.8-4 3.7-6 7.5-6s6.7 2 7.5 6"/>',
    "leave": '<path d="M14 4.5H6.5v15H14M11 12h9.5M17 8.5l3.5 3.5-3.5 3.5"/>',
    "gear": (
        '<circle cx="12" cy="12" r="3"/><path d="M12 3v3M12 18v3M3 12h3M18 12h3'
        'M5.6 5.6l2.2 2.2M16.2 16.2l2.2 2.2M18.4 5.6l-2.2 2.2M7.8 16.2l-2.2 2.2"/>'
    ),
    "key": '<circle cx="8" cy="15.5" r="4"/><path d="M11 12.5L19.5 4M16 7.5l3 3M13.5 10l2 2"/>',
    "grip": '<path d="M9 6h.01M15 6h.01M9 12h.01M15 12h.01M9 18h.01M15 18h.01"/>',
    "more": '<path d="M12 5.5h.01M12 12h.01M12 18.5h.01"/>',
    "top": '<path d="M5 4.5h14M12 20V9M7 13.5L12 8.5l5 5"/>',
    "larger": '<path d="M14 4.5h5.5V10M19.5 4.5l-7 7M10 19.5H4.5V14M4.5 19.5l7-7"/>',
    "bottom": '<path d="M5 19.5h14M12 4v11M7 10.5l5 5 5-5"/>',
    "flag": '<path d="M6 21V4.5h12l-3 4 3 4H6"/>',
    "search": '<circle cx="10.5" cy="10.5" r="6"/><path d="M15 15l5 5"/>',
}


@register.simple_tag
def icon(name: str) -> SafeString:
    """Draw an icon; it is decoration, so the text beside it or an aria-label has to speak."""
    return format_html(
        '<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">{}</svg>',
        mark_safe(_ICONS[name]),
    )


@register.simple_tag
def standing_notices(user: Any) -> list[str]:
    """Return what everybody who looks should know: a full disk, a recovered database."""
    # Here, because the module reads models, and templates are set up before these.
    from mobilesd.backups.notices import notices

    return [found.text for found in notices() if user.is_staff or not found.for_staff]


@register.simple_tag
def when(moment: datetime | None) -> SafeString | str:
    """Show a moment, in this installation's time zone; a script shows it in the device's own."""
    if moment is None:
        return ""
    words = moments.in_words(moment, timezone.now())
    return format_html('<time datetime="{}" data-when>{}</time>', moment.isoformat(), words)


@register.filter
def short_name(name: str) -> str:
    """Return a model's name without its folder and file ending."""
    path = PurePosixPath(name.replace("\\", "/"))
    known = {".safetensors", ".ckpt", ".pt", ".gguf", ".bin"}
    return path.stem if path.suffix.lower() in known else path.name


@register.filter
def exact(moment: datetime | None) -> str:
    """Return a moment with its date and its time zone; nothing for none."""
    return moments.exact(moment) if moment is not None else ""


@register.filter
def percent(fraction: float | None) -> int:
    """Return whole percents of 0..1."""
    return round(100 * min(1.0, max(0.0, fraction or 0.0)))


@register.filter
def seconds(value: float | None) -> str:
    """Return a time span as people say it: 8 s, 2 min 05 s, 1 h 10 min."""
    if value is None:
        return ""
    whole = max(0, round(value))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s" if whole < 600 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@register.filter
def until(moment: datetime | None) -> str:
    """Return how far off an expected moment is, as rough as such a guess is: in 12 min."""
    if moment is None:
        return ""
    left = (moment - timezone.now()).total_seconds()
    if left < 45:
        return "in a moment"
    if left < 90 * 60:
        return f"in {max(1, round(left / 60))} min"
    if left < 36 * 3600:
        return f"in {round(left / 3600)} h"
    return f"in {round(left / 86_400)} days"


@register.simple_tag
def ago(moment: datetime | None) -> SafeString | str:
    """Show how long ago something was; a script keeps the words true."""
    if moment is None:
        return ""
    passed = (timezone.now() - moment).total_seconds()
    words = "just now" if passed < 45 else f"{_rough(passed)} ago"
    return format_html('<time datetime="{}" data-ago>{}</time>', moment.isoformat(), words)


def _rough(passed: float) -> str:
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if passed >= size:
            count = round(passed / size)
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return "1 minute"


@register.filter
def get(mapping: Mapping[str, object], name: str) -> object:
    """Look a name up that is known only while the page is drawn."""
    return mapping.get(name, "")
