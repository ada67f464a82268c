"""System checks: what would go wrong later is said at the start, with an id and a hint."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register
from django.db import connections

from mobilesd import sqlite

__all__ = [
    "check_data_folder",
    "check_durability",
    "check_ports",
    "check_rate_limits",
    "check_run_folder",
    "check_sqlite",
]


@register()
def check_sqlite(**_: Any) -> list[CheckMessage]:
    """Name the SQLite library in use; refuse two of them in one process (design §2)."""
    if not settings.EMBEDDED:
        return []
    if sqlite.mixed():
        return [
            Error(
                "Two SQLite libraries are loaded in this process; committed rows would be lost.",
                hint="Something imported sqlite3 before mobilesd. Import mobilesd first.",
                id="mobilesd.E001",
            )
        ]
    name = ".".join(map(str, sqlite.version()))
    if sqlite.version() < sqlite.FIXED_VERSION:
        return [
            Warning(
                f"SQLite {name} can corrupt a database in a rare race; fixed in 3.51.3.",
                hint="Install pysqlite3, or a newer Python; keep backups until then.",
                id="mobilesd.W001",
            )
        ]
    return [Info(f"SQLite {name} is in use.", id="mobilesd.I001")]


@register()
def check_ports(**_: Any) -> list[CheckMessage]:
    """Name each port of the lower apps that no other app has filled."""
    from apikeys.ports import ports as of_keys
    from jobs.ports import ports as of_jobs

    return [
        Error(
            f"Nothing has filled {app}.ports.ports.{name}.",
            hint="An app that fills it is missing in INSTALLED_APPS.",
            id="mobilesd.E002",
        )
        for app, ports in (("apikeys", of_keys), ("jobs", of_jobs))
        for name in ports.empty()
    ]


@register()
def check_data_folder(**_: Any) -> list[CheckMessage]:
    """Refuse a data folder that can't be written."""
    folder = settings.DATA_DIR
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return [
            Error(
                f"The data folder {folder} can't be written: {error.strerror}.",
                hint="Correct its owner, or set MOBILESD_DATA_DIR to another folder.",
                id="mobilesd.E003",
            )
        ]
    return []


@register()
def check_run_folder(**_: Any) -> list[CheckMessage]:
    """Refuse a second `up` on one SQLite database: the lock that keeps it out is in this folder."""
    if not settings.EMBEDDED or settings.RUN_DIR == settings.DATA_DIR / "run":
        return []
    return [
        Error(
            "MOBILESD_RUN_DIR is for several web processes, which SQLite can't have.",
            hint="Remove MOBILESD_RUN_DIR, or set MOBILESD_DATABASE_URL to a PostgreSQL database.",
            id="mobilesd.E006",
        )
    ]


@register()
def check_rate_limits(**_: Any) -> list[CheckMessage]:
    """Refuse a set-up in which each of several web processes would count for itself."""
    backend = settings.CACHES[settings.RATELIMIT_USE_CACHE]["BACKEND"]
    if settings.EMBEDDED or not backend.endswith("locmem.LocMemCache"):
        return []
    return [
        Error(
            "With PostgreSQL there can be several web processes, and each would count the"
            " requests of a key in its own memory: its limit would be no limit.",
            hint="Set MOBILESD_REDIS_URL, so that they count in one place.",
            id="mobilesd.E005",
        )
    ]


@register(Tags.database)
def check_durability(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Refuse a database that would forget a commit in a power cut (design §2)."""
    wrong: list[CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if connection.vendor != "sqlite":
            continue
        with connection.cursor() as cursor:
            journal = cursor.execute("PRAGMA journal_mode").fetchone()[0]
            synchronous = cursor.execute("PRAGMA synchronous").fetchone()[0]
        if (journal, synchronous) != ("wal", 2):
            wrong.append(
                Error(
                    f"The database runs in {journal} mode with synchronous={synchronous}, not in"
                    " WAL mode with 2: a power cut could lose accepted jobs.",
                    hint="Keep the data folder on a local disk: network folders can't do this.",
                    id="mobilesd.E004",
                )
            )
    return wrong
