"""Backups of PostgreSQL, by its own `pg_dump`; its log is its own journal."""

import os
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

from django.conf import settings

from mobilesd.backups import snapshots

__all__ = ["MISSING", "check", "dump_to", "environment", "program", "take"]

MISSING = (
    "pg_dump and pg_restore are not installed here. Install PostgreSQL's client programs, or back"
    " the database up where it runs."
)
_KEPT = snapshots.DAILY + snapshots.WEEKLY
_SECONDS = 3600


def program(name: str) -> str | None:
    """Return the path of one of PostgreSQL's programs, if it is installed."""
    return shutil.which(name)


def environment() -> dict[str, str]:
    """Return what its programs find the database by; the password is in no command line."""
    database = settings.DATABASES["default"]
    named = {
        "PGHOST": database.get("HOST"),
        "PGPORT": database.get("PORT"),
        "PGUSER": database.get("USER"),
        "PGPASSWORD": database.get("PASSWORD"),
        "PGDATABASE": database.get("NAME"),
    }
    return {**os.environ, **{name: str(value) for name, value in named.items() if value}}


def dump_to(target: Path) -> None:
    """Write a dump and read its list again; raise OSError or SubprocessError, and leave no file.

    A dump that was cut off has no list, or one that names what the file does not hold.
    """
    temporary = target.with_name(f".{target.name}.partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(
            [program("pg_dump") or "pg_dump", "--format=custom", f"--file={temporary}"],
            env=environment(),
            check=True,
            capture_output=True,
            timeout=_SECONDS,
        )
        check(temporary)
        temporary.chmod(0o600)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def check(dump: Path) -> None:
    """Read a dump from its first byte to its last, without a database; raise SubprocessError.

    `--list` alone would read only its beginning, where the list is.
    """
    for what in ("--list", "--file=-"):
        subprocess.run(
            [program("pg_restore") or "pg_restore", what, str(dump)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_SECONDS,
        )


def take(now: datetime) -> Path | None:
    """Make the daily dump, and keep as many as of SQLite; return it, or None if it is not due."""
    folder = snapshots.folder()
    found = sorted(folder.glob("mobilesd-*.dump"), reverse=True)
    target = folder / f"mobilesd-{now:%Y%m%d}.dump"
    if target in found:
        return None
    dump_to(target)
    for old in found[_KEPT - 1 :]:
        old.unlink(missing_ok=True)
    return target
