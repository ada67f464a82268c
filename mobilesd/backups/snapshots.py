"""Whole copies of a SQLite database, made while it is written to, and what is known of them.

Only by SQLite's own backup: nobody may open() the file of a database that is in use (design §2).
"""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings

from jobs import journal
from mobilesd import sqlite

__all__ = [
    "Snapshot",
    "check",
    "copy_database",
    "database_file",
    "due",
    "folder",
    "forget_old",
    "shorten_journal",
    "snapshots",
    "sync",
    "take",
]

_PAGES = 64  # copied at a time: 256 kB
_PAUSE_SECONDS = 0.005
# A copy that begins anew at each commit of another process would never end.
_MOST_RESTARTS_SECONDS = 20.0
EVERY = timedelta(hours=1)
HOURLY, DAILY, WEEKLY = 2, 7, 4


@dataclass(frozen=True)
class Snapshot:
    """A backup that was whole when it was written.

    `journal`: the sizes of the journal's files before it was begun; all they held by then is in
    the backup.
    """

    path: Path
    at: datetime
    journal: dict[str, int] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return self.path.stat().st_size


def folder() -> Path:
    """Return where the scheduled backups are."""
    return Path(settings.DATA_DIR) / "backups"


def database_file() -> Path:
    """Return the file of the SQLite database in use."""
    return Path(str(settings.DATABASES["default"]["NAME"]))


def check(file: Path, *, whole: bool = False) -> str:
    """Return what is wrong with a SQLite database, in SQLite's words; "" if nothing is.

    `whole` compares the indexes with the tables too, which takes several times as long.
    """
    library = sqlite.library()
    if not file.exists():
        return "the file is missing"
    if file.stat().st_size == 0:
        return "the file is empty"
    try:
        with contextlib.closing(library.connect(file, timeout=20)) as connection:
            # What it tells may quote a name that has turned.
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            pragma = "integrity_check" if whole else "quick_check"
            rows = connection.execute(f"PRAGMA {pragma}(20)").fetchall()
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except UnicodeDecodeError:  # of SQLite's own words, which quote a name of the schema
        return "its schema is damaged"
    except library.DatabaseError as error:
        if "locked" in str(error):  # whoever writes now keeps it in order
            return ""
        return str(error)
    if not tables:
        return "it has no tables"
    found = "; ".join(str(row[0]).strip().replace("\n", " ") for row in rows)
    return "" if found == "ok" else found


def copy_database(source: Path, target: Path) -> None:
    """Copy a database that may be in use, in small steps; the target is whole and on disk after.

    Raises OSError and the library's DatabaseError, and then leaves no file.
    """
    library = sqlite.library()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
    began = time.monotonic()

    def breathe(status: int, remaining: int, total: int) -> None:
        # Others write in the pauses. If they do it so often that the copy always begins anew,
        # the rest is read in one go: readers keep no writer waiting in WAL mode.
        if time.monotonic() - began < _MOST_RESTARTS_SECONDS:
            time.sleep(_PAUSE_SECONDS)

    try:
        with contextlib.closing(library.connect(source, timeout=20)) as reading:
            # A read transaction holds one state of the database while others go on writing.
            reading.isolation_level = None
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
            with contextlib.closing(library.connect(temporary)) as writing:
                reading.backup(writing, pages=_PAGES, progress=breathe)
                writing.execute("PRAGMA journal_mode=DELETE")
            reading.execute("ROLLBACK")
        # Ours alone: nobody has it open.
        descriptor = os.open(temporary, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.chmod(0o600)
        temporary.replace(target)
        sync(target.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def sync(path: Path) -> None:
    """Make the entries of a folder survive a power cut."""
    if os.name == "nt":  # folders can't be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- The scheduled ones -------------------------------------------------------------------


def snapshots() -> list[Snapshot]:
    """Return the scheduled backups, the newest first."""
    found = []
    for path in sorted(folder().glob("mobilesd-*.sqlite3"), reverse=True):
        with contextlib.suppress(ValueError):
            at = datetime.strptime(path.stem.removeprefix("mobilesd-"), "%Y%m%dT%H%M%S")
            found.append(Snapshot(path, at.replace(tzinfo=UTC), _journal_of(path)))
    return found


def _journal_of(path: Path) -> dict[str, int]:
    try:
        found = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return {str(name): int(size) for name, size in found["journal"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def due(now: datetime) -> bool:
    """Tell whether it is time for the next one."""
    newest = next(iter(snapshots()), None)
    # One from the future was made before the clock was put back.
    return newest is None or not timedelta() <= now - newest.at < EVERY


def take(now: datetime | None = None) -> Snapshot:
    """Make a backup, check it, and drop what it makes needless.

    Raises OSError, the library's DatabaseError, or ValueError for a copy that is not whole: then
    no backup and no part of the journal is dropped.
    """
    at = (now or datetime.now(UTC)).replace(microsecond=0)
    target = folder() / f"mobilesd-{at:%Y%m%dT%H%M%S}.sqlite3"
    # Before the copy is begun: what is in these files by now was committed before.
    sizes = {path.name: path.stat().st_size for path in journal.files()}
    copy_database(database_file(), target)
    wrong = check(target, whole=True)
    if wrong:
        target.rename(target.with_suffix(".damaged"))
        raise ValueError(f"the backup is not whole: {wrong}")
    note = target.with_suffix(".json")
    note.write_text(json.dumps({"journal": sizes}), encoding="utf-8")
    forget_old()
    shorten_journal()
    return Snapshot(target, at, sizes)


def _worth_keeping(found: Sequence[Snapshot]) -> Iterator[Snapshot]:
    yield from found[:HOURLY]
    for most, period in ((DAILY, "%Y-%m-%d"), (WEEKLY, "%G-%V")):
        newest_of: dict[str, Snapshot] = {}
        for snapshot in found:
            newest_of.setdefault(snapshot.at.strftime(period), snapshot)
        yield from list(newest_of.values())[:most]


def forget_old() -> list[Path]:
    """Delete what is neither one of the newest nor one of 7 daily and 4 weekly ones."""
    found = snapshots()
    kept = {snapshot.path for snapshot in _worth_keeping(found)}
    gone = [snapshot.path for snapshot in found if snapshot.path not in kept]
    for path in gone:
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)
    for left in folder().glob(".mobilesd-*"):  # of a process that was killed
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > 3600:
                left.unlink()
    return gone


def shorten_journal() -> list[Path]:
    """Delete the files of the journal that two backups have whole.

    Two, so that the newest may turn out to be damaged. By size and not by time: a clock that
    jumped must not delete what no backup has.
    """
    newest = snapshots()[:2]
    if len(newest) < 2:
        return []
    older = newest[-1].journal
    gone = []
    for path in journal.files():
        if journal.may_be_written(path):
            continue
        if older.get(path.name) == path.stat().st_size:
            path.unlink()
            gone.append(path)
    return gone
