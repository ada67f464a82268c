"""What everybody who looks should be told of the state of the data, in sentences."""

from dataclasses import dataclass

from django.conf import settings

from jobs import journal
from mobilesd.backups.reports import reports
from mobilesd.backups.tasks import damaged_rows_file
from mobilesd.storage import free_bytes, has_room

__all__ = ["Notice", "notices"]


@dataclass(frozen=True)
class Notice:
    """One sentence; `for_staff`: others can do nothing about it."""

    text: str
    for_staff: bool = False


def notices() -> list[Notice]:
    """Return what is wrong or was repaired and not yet taken note of."""
    found = []
    if not has_room():
        found.append(
            Notice(
                f"The disk is nearly full ({free_bytes() // 2**20} MB are left). No new job is"
                " begun until there is more room; nothing is lost."
            )
        )
    if not settings.EMBEDDED:
        return found
    found += [
        Notice(f"{report.sentences[0]} Look at what came back.", for_staff=True)
        for report in reports()
        if not report.dismissed
    ]
    if damaged_rows_file().exists():
        text = "Some rows of the database are damaged. Run `manage.py doctor --repair`."
        found.append(Notice(text, for_staff=True))
    if journal.trouble():
        found.append(Notice(journal.trouble(), for_staff=True))
    return found
