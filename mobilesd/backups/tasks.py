"""What the background cluster does every hour: look at the database, then make a backup."""

import logging
import shutil
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import transaction

from gallery.models import Image
from jobs.checksums import IMAGE, JOB, Guarded, damaged, of_row, without
from jobs.models import Job
from mobilesd import sqlite
from mobilesd.backups import damage, dumps, snapshots
from mobilesd.backups.telling import cause_of, tell

__all__ = ["damaged_rows_file", "failure_file", "look_and_back_up", "look_at_rows"]

log = logging.getLogger(__name__)

_AT_ONCE = 200


def damaged_rows_file() -> Path:
    """Return the note of the rows whose checksum was wrong at the last look."""
    return Path(settings.DATA_DIR) / "damaged-rows"


def look_and_back_up() -> str:
    """Check the database and back it up; return what was done, in a word."""
    now = datetime.now(UTC)
    if not settings.EMBEDDED:
        return _dump(now)
    wrong = snapshots.check(snapshots.database_file())
    if wrong:
        damage.note(wrong)
        return "damaged"
    look_at_rows()
    if not snapshots.due(now):
        return "looked"
    try:
        snapshots.take(now)
    except (OSError, ValueError, sqlite.library().DatabaseError) as error:
        return _failed(error)
    return _made()


def failure_file() -> Path:
    """Return the note of why backups fail; it is there since the first one that did."""
    return Path(settings.DATA_DIR) / "backup-failed"


def _failed(error: Exception) -> str:
    log.error("no backup could be made: %s", error)
    note = failure_file()
    # Also on a full disk: then it is empty, and still says since when.
    with suppress(OSError), note.open("x", encoding="utf-8", errors="replace") as stream:
        stream.write(" ".join(str(error).split())[:500])
    cause = cause_of(error)
    tell("backup", cause, f"{cause}. It is tried again each hour.")
    return "failed"


def _made() -> str:
    failure_file().unlink(missing_ok=True)
    return "backed up"


def look_at_rows() -> int:
    """Write the checksums that are missing, and note the rows whose own is wrong; count these."""
    file = snapshots.database_file()
    found = []
    for model, guarded in ((Job, JOB), (Image, IMAGE)):
        keys = without(file, guarded)
        while some := list(islice(keys, _AT_ONCE)):
            _write(model, guarded, some)
        found += [f"{guarded.table} {damage.key}" for damage in damaged(file, guarded)]
    note = damaged_rows_file()
    if found:
        log.error("%d rows are damaged: run `manage.py doctor --repair`", len(found))
        repair = "Stop MobileSD and run `manage.py doctor --repair`."
        tell("database", "rows", f"Some of its rows are damaged. {repair}")
        note.write_text("\n".join(found) + "\n", encoding="utf-8", errors="replace")
    else:
        note.unlink(missing_ok=True)
    return len(found)


def _write(model: type[Job] | type[Image], guarded: Guarded, keys: list[str]) -> None:
    # Read again inside the transaction: one that was changed meanwhile has another checksum.
    with transaction.atomic():
        for row in model.objects.filter(pk__in=[UUID(key) for key in keys], checksum=""):
            model.objects.filter(pk=row.pk).update(checksum=of_row(row, guarded))


def _dump(now: datetime) -> str:
    if shutil.which("pg_dump") is None:
        return "no pg_dump"
    try:
        dumps.take(now)
    except (OSError, subprocess.SubprocessError) as error:
        return _failed(error)
    return _made()
