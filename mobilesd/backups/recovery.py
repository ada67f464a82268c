"""The look at the database before anybody uses it, and its recovery when it is not whole.

It is safe to die at any step: the new database is made beside the old one and takes its place
(`replacement`) only when it is whole; journal and backups are only read.
"""

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from jobs import journal
from mobilesd import sqlite
from mobilesd.backups import damage, replacement, snapshots
from mobilesd.backups.reports import Report, rebuilt, reports

__all__ = [
    "Say",
    "assess",
    "before_use",
    "go_on",
    "recover",
    "working_on",
]

log = logging.getLogger(__name__)

# How long a start waits for the processes of another `up` to leave a damaged database.
_PATIENCE_SECONDS = 60.0

Say = Callable[[str], None]


# --- Looking ------------------------------------------------------------------------------


def assess() -> str:
    """Return what is wrong with the SQLite database, or "" (also where there never was one)."""
    file = snapshots.database_file()
    has_past = bool(snapshots.snapshots()) or journal.seen() > 0
    there = file.exists() and file.stat().st_size > 0
    if not there and not has_past:
        return ""
    wrong = snapshots.check(file, whole=damage.noted())
    if wrong:
        return "" if wrong == "it has no tables" and not has_past else wrong
    told, known = journal.seen(), _newest_event(file)
    if told > known:
        return f"it is older than its journal: event {told} is in there, the last here is {known}"
    return ""


def _newest_event(file: Path) -> int:
    library = sqlite.library()
    try:
        with contextlib.closing(library.connect(file, timeout=20)) as connection:
            row = connection.execute(
                "SELECT seq FROM sqlite_sequence WHERE name = 'jobs_event'"
            ).fetchone()
    except (library.DatabaseError, UnicodeDecodeError):
        return 0
    return int(row[0]) if row else 0


def before_use(say: Say) -> Report | None:
    """Look at the database before anybody opens it, and recover it if it is not whole.

    Raises InUse when it is damaged and another process does not let go of it, OSError when there
    is no room for a new one. Does nothing for PostgreSQL, or where others use the database already.
    """
    if not settings.EMBEDDED:
        return None
    connections.close_all()
    try:
        with damage.alone(_PATIENCE_SECONDS if damage.noted() else 0):
            trouble = assess()
            if trouble:
                return recover(trouble, say)
            damage.note_file().unlink(missing_ok=True)
    except damage.InUse:
        if damage.noted():
            raise
    return None


def go_on(say: Say) -> replacement.Plan | None:
    """Finish a restore or a recovery that was cut off; return what it was, or None.

    Comes before anything else that touches the data. Raises InUse and OSError.
    """
    if replacement.begun() is None:
        return None
    if settings.EMBEDDED:
        connections.close_all()
    with damage.alone(_PATIENCE_SECONDS):
        plan = replacement.finish()
    say(f"{plan.what} had been cut off. It is finished; the old files are in {plan.set_aside}.")
    for report in reports():
        if report.set_aside == plan.set_aside:
            _tell(report, say)
    return plan


# --- Recovering ---------------------------------------------------------------------------


@contextlib.contextmanager
def working_on(file: Path) -> Iterator[None]:
    """Let Django use another SQLite file meanwhile."""
    configured = settings.DATABASES["default"]
    own = configured["NAME"]
    connections.close_all()
    for names in (configured, connections["default"].settings_dict):
        names["NAME"] = str(file)
    try:
        yield
    finally:
        connections.close_all()
        for names in (configured, connections["default"].settings_dict):
            names["NAME"] = own


def recover(trouble: str, say: Say) -> Report:
    """Rebuild the database; call it with the database to ourselves. Raises OSError."""
    say(f"The database is damaged: {trouble}. It is being rebuilt; nothing is deleted.")
    log.critical("recovering the database: %s", trouble)
    with replacement.work_folder() as work:
        fresh = work / replacement.DATABASE
        base = _base(snapshots.database_file(), fresh, say)
        counts = _completed(fresh, rebuilt(trouble, base))
        wrong = snapshots.check(fresh, whole=True)
        if wrong:
            raise OSError(0, f"The rebuilt database is not whole ({wrong}): is the disk all right?")
        aside = replacement.new_aside()
        report = Report(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            trouble=trouble,
            base=base,
            set_aside=str(aside),
            counts=counts,
        )
        (work / replacement.REPORT).write_text(
            json.dumps(asdict(report), indent=1, default=str), encoding="utf-8"
        )
        replacement.commit(work, "The recovery of the database", aside)
        replacement.finish()
    _tell(report, say)
    return report


def _completed(fresh: Path, sentence: str) -> dict[str, Any]:
    """Bring the base up to what is known beside it, and tell of it; return what came back."""
    from mobilesd.backups import rebuilding, telling  # their models need Django to be set up

    known = _newest_event(fresh) if fresh.exists() else -1
    with working_on(fresh):
        executor = MigrationExecutor(connections["default"])
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", interactive=False, verbosity=0, skip_checks=True)
        counts = rebuilding.complete(journal.read(after=known))
        # Here, behind all events that there ever were: it is told if and when this one is used.
        telling.tell("database", sentence, f"{sentence} The Storage page tells what came back.")
        with connections["default"].cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for left in replacement.database_files(fresh)[1:]:
        left.unlink(missing_ok=True)
    return asdict(counts)


def _base(file: Path, fresh: Path, say: Say) -> str:
    """Make the file to go on from: the database itself if it is whole, else a backup; or none."""
    library = sqlite.library()
    sources = [(file, "the database itself")]
    sources += [
        (snapshot.path, f"the backup of {snapshot.at:%Y-%m-%d %H:%M} UTC")
        for snapshot in snapshots.snapshots()
    ]
    for path, name in sources:
        wrong = snapshots.check(path, whole=True)
        if not wrong:
            try:
                snapshots.copy_database(path, fresh)
                return name
            except library.DatabaseError as error:
                wrong = str(error)
        say(f"{name.capitalize()} can't be used: {wrong}.")
    return "nothing: there is no good backup"


def _tell(report: Report, say: Say) -> None:
    for sentence in report.sentences:
        say(sentence)
        log.warning("recovery: %s", sentence)
