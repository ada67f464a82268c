"""Putting a backup of everything back in place of what is there."""

import contextlib
import shutil
import subprocess
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from mobilesd import sqlite
from mobilesd.backups import damage, dumps, replacement, snapshots
from mobilesd.backups.archive import DUMP, STORES, NotAnArchive, inspect
from mobilesd.backups.replacement import BACKUPS, DATABASE

__all__ = ["CutOff", "restore"]

# It tells of the database that is set aside, and must not complete this one.
_OLD_LIFE = ("journal",)


class CutOff(Exception):
    """The backup counts already, but is not in place yet; says why."""


def restore(file: Path, say: Callable[[str], None]) -> Path:
    """Put everything back; return where the database of before was set aside.

    Everything is unpacked and checked beside the data first. Pictures that are there stay. Raises
    InUse while any process uses the database, NotAnArchive and OSError, with nothing changed; and
    CutOff when the next start has to finish it.
    """
    data = Path(settings.DATA_DIR)
    with damage.alone(), replacement.work_folder() as work:
        contents = inspect(file, work)
        embedded = contents.database == DATABASE
        if embedded != settings.EMBEDDED:
            other = "SQLite" if embedded else "PostgreSQL"
            raise NotAnArchive(f"It is of an installation with {other}, which this one is not.")
        if embedded:
            _make_new_life(work / DATABASE)
            # What is damaged within the first hour has something to come back from.
            at = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
            snapshots.copy_database(work / DATABASE, work / BACKUPS / f"mobilesd-{at}.sqlite3")
        # Files that no row needs do no harm, rows without their files would.
        for store in STORES:
            _merge(work / store, data / store)
        if not embedded:
            _load(work / DUMP)
        aside = replacement.new_aside()
        replacement.commit(
            work, "The restore of a backup", aside, old_life=_OLD_LIFE if embedded else ()
        )
        try:
            replacement.finish()
        except OSError as error:
            raise CutOff(f"{error.filename or data}: {error.strerror}") from error
    say(f"Restored {contents.jobs} jobs and {contents.pictures} pictures.")
    return aside


def _make_new_life(database: Path) -> None:
    """Tell the pages that are open that the event ids begin anew (design §9)."""
    from django_q.models import OrmQ

    from jobs.models import Epoch

    wrong = snapshots.check(database, whole=True)
    if wrong:
        raise NotAnArchive(f"Its database is not whole: {wrong}.")
    with contextlib.closing(sqlite.library().connect(database)) as connection, connection:
        epochs = Epoch._meta.db_table
        connection.execute(f"DELETE FROM {epochs}")
        connection.execute(f"INSERT INTO {epochs} (id, value) VALUES (1, ?)", [uuid.uuid4().hex])
        connection.execute(f"DELETE FROM {OrmQ._meta.db_table}")


def _load(dump: Path) -> None:
    """Load a dump into PostgreSQL, all or nothing."""
    subprocess.run(
        [
            dumps.program("pg_restore") or "pg_restore",
            *("--clean", "--if-exists", "--no-owner", "--single-transaction"),
            f"--dbname={settings.DATABASES['default']['NAME']}",
            str(dump),
        ],
        env=dumps.environment(),
        check=True,
        capture_output=True,
    )
    dump.unlink()


def _merge(source: Path, target: Path) -> None:
    for path in source.glob("*/*"):
        place = target / path.parent.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, place)
    for folder in [target, *target.glob("??")] if source.exists() else []:
        snapshots.sync(folder)
    shutil.rmtree(source, ignore_errors=True)
