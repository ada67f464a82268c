"""The database: readable, safe against a power cut, whole, and at the version of the program."""

from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from mobilesd import sqlite
from mobilesd.doctor.findings import Finding, fail, ok, warn

__all__ = ["has_tables", "look_at_database", "look_at_people"]

# A check of the whole file reads all of it: minutes for a very large one.
LARGEST_CHECKED = 512 * 1024 * 1024


def has_tables() -> bool:
    """Tell whether there is a database that was ever migrated."""
    try:
        return "django_migrations" in connection.introspection.table_names()
    except DatabaseError:
        return False


def look_at_database() -> Iterator[Finding]:
    """Look at the library, the connection, the migrations and the content."""
    if settings.EMBEDDED and not Path(connection.settings_dict["NAME"]).exists():
        yield warn("There is no database yet.", "Start `manage.py up`: it makes one.")
        return
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        yield fail(f"The database can't be opened: {error}", "Look at MOBILESD_DATABASE_URL.")
        return
    if settings.EMBEDDED:
        yield from _sqlite()
    else:
        yield ok("PostgreSQL answers.")
    yield from _migrations()


def _sqlite() -> Iterator[Finding]:
    version = ".".join(map(str, sqlite.version()))
    if sqlite.version() < sqlite.FIXED_VERSION:
        yield warn(
            f"SQLite {version} can corrupt a database in a rare race; fixed in 3.51.3.",
            "Install pysqlite3, or a newer Python; keep backups until then.",
        )
    else:
        yield ok(f"SQLite {version} is in use.")
    journal, synchronous = _pragma("journal_mode"), _pragma("synchronous")
    if (journal, synchronous) == ("wal", 2):
        yield ok("The database is in WAL mode and waits for the disk at each commit.")
    else:
        yield fail(
            f"The database is in {journal} mode with synchronous={synchronous}, not WAL with 2.",
            "Keep the data folder on a local disk: network folders can't do this safely.",
        )
    if Path(connection.settings_dict["NAME"]).stat().st_size <= LARGEST_CHECKED:
        answer = _pragma("quick_check")
        if answer == "ok":
            yield ok("The database is whole.")
        else:
            yield fail(f"The database is damaged: {answer}", "Restore a backup.")


def _pragma(name: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {name}")
        row = cursor.fetchone()
    return row[0] if row else None


def _migrations() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    unknown = set(executor.loader.applied_migrations) - set(executor.loader.disk_migrations)
    if unknown:
        app, name = sorted(unknown)[0]
        yield fail(
            f"The database was written by a newer version (migration {app}.{name}).",
            "Install that version again, or restore a backup of this one.",
        )
    if plan:
        yield warn(
            f"{len(plan)} migrations are not applied yet.", "Start `manage.py up`: it applies them."
        )
    elif not unknown:
        yield ok("All migrations are applied.")


def look_at_people() -> Iterator[Finding]:
    """Look whether anybody can sign in."""
    if not has_tables():
        return
    if get_user_model()._default_manager.filter(is_superuser=True, is_active=True).exists():
        yield ok("There is an administrator.")
    else:
        yield warn(
            "There is no administrator yet.",
            "Open the link that `manage.py up` shows, or run `manage.py createsuperuser`.",
        )
