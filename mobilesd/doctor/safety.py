"""What keeps the data: whole files and rows, and backups that are young enough."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connections

from jobs import journal
from jobs.checksums import IMAGE, JOB, damaged
from mobilesd import sqlite
from mobilesd.backups import damage, dumps, recovery, replacement, rows, snapshots
from mobilesd.backups.reports import reports
from mobilesd.backups.tasks import look_at_rows
from mobilesd.doctor.findings import Finding, fail, ok, warn

__all__ = ["look_at_safety"]

OLD = timedelta(days=2)


def look_at_safety() -> Iterator[Finding]:
    """Look at the database's file, its rows, the backups and the recoveries."""
    if not settings.EMBEDDED:
        if dumps.program("pg_dump") is None:
            yield warn("No backups are made of PostgreSQL from here.", dumps.MISSING)
        return
    connections.close_all()
    plan = replacement.begun()
    if plan is not None:
        yield fail(
            f"{plan.what} was cut off.",
            "Stop MobileSD, then run `manage.py doctor --repair`. The next `up` does the same.",
            _recover,
        )
        return
    wrong = recovery.assess()
    if wrong:
        yield fail(
            f"The database is damaged: {wrong}",
            "Stop MobileSD, then run `manage.py doctor --repair`. The next `up` does the same.",
            _recover,
        )
        return
    if snapshots.database_file().exists():
        yield from _rows()
        yield from _backups()
    yield from _recoveries()


def _recover() -> str:
    said: list[str] = []
    try:
        recovery.go_on(said.append)
        with damage.alone():
            trouble = recovery.assess()
            if trouble:
                recovery.recover(trouble, said.append)
    except damage.InUse:
        raise OSError(0, "MobileSD is running: stop it first.") from None
    return " ".join(said)


def _rows() -> Iterator[Finding]:
    file = snapshots.database_file()
    library_error = sqlite.library().DatabaseError
    try:
        broken = [found for guarded in (JOB, IMAGE) for found in damaged(file, guarded)]
    except library_error as error:
        if "no such" not in str(error):  # a database of before the checksums, or an empty one
            yield fail(f"The rows can't be read: {error}", "Run `manage.py doctor --repair`.")
        return
    if not broken:
        yield ok("All rows of jobs and pictures are as they were written.")
        return
    names = ", ".join(f"{found.guarded.table} {found.key!a}" for found in broken[:5])
    yield fail(
        f"{len(broken)} rows are not as they were written: {names}.",
        "Run `manage.py doctor --repair`: it takes them from the journal or a backup.",
        _mend,
    )


def _mend() -> str:
    mended, left = rows.mend()
    look_at_rows()
    if left:
        raise OSError(0, f"{mended} rows were mended; {len(left)} are in no journal and no backup.")
    return f"Mended {mended} rows."


def _backups() -> Iterator[Finding]:
    newest = next(iter(snapshots.snapshots()), None)
    todo = "They are made every hour while `up` runs."
    if newest is None:
        yield warn("There is no backup yet.", todo, _take)
    elif datetime.now(UTC) - newest.at > OLD:
        yield warn(f"The newest backup is of {newest.at:%Y-%m-%d %H:%M} UTC.", todo, _take)
    else:
        yield ok(f"There are {len(snapshots.snapshots())} backups, the newest of {newest.at:%c}.")
    yield from _journal()


def _journal() -> Iterator[Finding]:
    told = journal.read()
    if told.cut_off:
        yield ok(
            f"{told.cut_off} lines of the journal were cut off by a crash. They were never"
            " answered, or were written once more."
        )
    if told.damaged:
        yield warn(
            f"{told.damaged} lines of the journal are not as they were written. If the database"
            " were lost now, the jobs of these lines would be, unless a backup has them.",
            "Two backups make them needless: they are made every hour. Look at the disk's health.",
            _take,
        )


def _take() -> str:
    try:
        return f"Made {snapshots.take().path.name}."
    except (ValueError, sqlite.library().DatabaseError) as error:
        raise OSError(0, str(error)) from error


def _recoveries() -> Iterator[Finding]:
    for report in reports():
        if not report.dismissed:
            yield warn(
                f"The database was recovered at {report.at}: {' '.join(report.sentences[1:])}",
                "Look whether servers and settings are right, and dismiss it on the storage page.",
            )
