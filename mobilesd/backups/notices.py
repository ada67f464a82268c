"""What everybody who looks should be told of the state of the data, in sentences."""

from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.utils import timezone

from jobs import journal
from jobs.moments import in_words
from mobilesd.backups.reports import reports
from mobilesd.backups.tasks import damaged_rows_file, failure_file
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
    found += _failed_backups()
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


def _failed_backups() -> list[Notice]:
    try:
        since = datetime.fromtimestamp(failure_file().stat().st_mtime, UTC)
        why = failure_file().read_text(encoding="utf-8", errors="replace")
    except OSError:  # there is none, which is how it should be
        return []
    sentence = f"No backup could be made since {in_words(since, timezone.now())}"
    return [Notice(f"{sentence}: {why.rstrip('.')}." if why else f"{sentence}.", for_staff=True)]
