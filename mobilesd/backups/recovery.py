"""The look at the database before anybody uses it, and its recovery when it is not whole.

The order of the steps makes it safe to die at any of them: the new database is made beside the old
one, which is set aside (never deleted) only when the new one is whole; journal and backups are only
read. A start that finds no database where there is a backup or a journal does it again.
"""

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connections

from jobs import journal
from mobilesd import sqlite
from mobilesd.backups import damage, snapshots

__all__ = [
    "Report",
    "assess",
    "before_use",
    "dismiss",
    "recover",
    "reports",
    "reports_folder",
    "set_aside",
    "working_on",
]

log = logging.getLogger(__name__)

# How long a start waits for the processes of another `up` to leave a damaged database.
_PATIENCE_SECONDS = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """What was wrong, what the new database was made from, and what came back."""

    at: str
    trouble: str
    base: str
    set_aside: str
    counts: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    dismissed: bool = False

    @property
    def sentences(self) -> list[str]:
        """Return the report in words."""
        counts = self.counts
        lost = len(counts["jobs_lost"])
        told = [
            f"The database was damaged ({self.trouble}) and was rebuilt from {self.base}.",
            f"From the journal and the pictures on disk came back: {counts['jobs_again']} jobs,"
            f" the state of {counts['jobs_changed']} more, {counts['pictures_again']} pictures.",
            f"{counts['to_run']} jobs wait to be made.",
        ]
        if counts["pictures_without_job"]:
            told.append(
                f"{counts['pictures_without_job']} pictures on disk belong to no job that is"
                " known; they are in the gallery without one."
            )
        if lost or counts["pictures_lost"]:
            told.append(
                f"Not found again: {lost} jobs whose line in the journal is unreadable,"
                f" {counts['pictures_lost']} pictures whose file is gone."
            )
        if not self.base.startswith("the database itself"):
            told.append(
                "Changes of servers, keys, users, settings and the order of the queue since then"
                " are not in the journal: look at them."
            )
        told.append(f"The old files are kept in {self.set_aside}.")
        return told


# --- Reports ------------------------------------------------------------------------------


def reports_folder() -> Path:
    """Return where the reports are."""
    return Path(settings.DATA_DIR) / "recoveries"


def reports() -> list[Report]:
    """Return the reports of all recoveries, the newest first."""
    found = []
    for path in sorted(reports_folder().glob("*.json"), reverse=True):
        with contextlib.suppress(OSError, ValueError, TypeError):
            told = json.loads(path.read_text(encoding="utf-8"))
            told["dismissed"] = path.name.endswith(".read.json")
            found.append(Report(**{**told, "name": path.name.split(".")[0]}))
    return found


def dismiss(name: str) -> None:
    """Show the notice of one recovery no more; its report stays."""
    path = reports_folder() / f"{Path(name).name}.json"
    with contextlib.suppress(OSError):
        path.rename(path.with_name(f"{path.stem}.read.json"))


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


def _stamp() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}"


def set_aside(*paths: Path, stamp: str = "") -> Path:
    """Move files out of the way, never to be deleted by us; return their new folder."""
    folder = Path(settings.DATA_DIR) / "set-aside" / (stamp or _stamp())
    number = 0
    while folder.exists():
        number += 1
        folder = folder.with_name(f"{stamp or _stamp()}-{number}")
    folder.mkdir(parents=True)
    for path in paths:
        if path.exists():
            path.rename(folder / path.name)
    return folder


def database_files(file: Path) -> list[Path]:
    """Return a SQLite database with what belongs to it."""
    return [file, *(file.with_name(file.name + end) for end in ("-wal", "-shm", "-journal"))]


def recover(trouble: str, say: Say) -> Report:
    """Rebuild the database; call it with the database to ourselves. Raises OSError."""
    say(f"The database is damaged: {trouble}. It is being rebuilt; nothing is deleted.")
    log.critical("recovering the database: %s", trouble)
    file, stamp = snapshots.database_file(), _stamp()
    fresh = file.with_name("rebuilding.sqlite3")
    for left in database_files(fresh):  # of a recovery that was cut off
        left.unlink(missing_ok=True)
    base = _base(file, fresh, say)
    from mobilesd.backups import rebuilding  # its models can't be loaded before Django is

    with working_on(fresh):
        call_command("migrate", interactive=False, verbosity=0, skip_checks=True)
        counts = rebuilding.complete(journal.read())
        with connections["default"].cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    wrong = snapshots.check(fresh, whole=True)
    if wrong:
        raise OSError(0, f"The rebuilt database is not whole ({wrong}): is the disk all right?")
    folder = set_aside(*database_files(file), stamp=stamp)
    for left in database_files(fresh)[1:]:
        left.unlink(missing_ok=True)
    fresh.replace(file)
    snapshots.sync(file.parent)
    report = Report(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        trouble=trouble,
        base=base,
        set_aside=str(folder),
        counts=asdict(counts),
    )
    _publish(report, stamp, say)
    damage.note_file().unlink(missing_ok=True)
    return report


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


def _publish(report: Report, stamp: str, say: Say) -> None:
    folder = reports_folder()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stamp}.json").write_text(
        json.dumps(asdict(report), indent=1, default=str), encoding="utf-8"
    )
    for sentence in report.sentences:
        say(sentence)
        log.warning("recovery: %s", sentence)
