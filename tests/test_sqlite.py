"""The one SQLite library, and what every connection that this program opens is like."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.db import OperationalError, connection, connections, transaction

from mobilesd import sqlite

ROOT = Path(__file__).resolve().parents[1]
MODES = ("journal_mode", "synchronous", "mmap_size")

pytestmark = pytest.mark.skipif(connection.vendor != "sqlite", reason="embedded default only")


def run(code: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def modes() -> dict[str, object]:
    found = {}
    with connection.cursor() as cursor:
        for name in MODES:
            row = cursor.execute(f"PRAGMA {name}").fetchone()
            found[name] = row[0] if row else 0
    return found


SAFE = {"journal_mode": "wal", "synchronous": 2, "mmap_size": 0}


def test_this_process_uses_one_library_and_the_newest_installed():
    assert not sqlite.mixed()
    pytest.importorskip("pysqlite3")
    assert sqlite.library().__name__ == "pysqlite3"
    assert sqlite.version() >= sqlite.FIXED_VERSION


def test_a_mix_is_noticed():
    pytest.importorskip("pysqlite3")
    mixed = "import sqlite3, pysqlite3; from mobilesd import sqlite; print(sqlite.mixed())"
    assert run(mixed) == "True"


def test_without_the_newer_library_pythons_own_is_used():
    blocked = (
        "import sys; sys.modules['pysqlite3'] = None\n"
        "from mobilesd import sqlite; print(sqlite.library().__name__, sqlite.mixed())"
    )
    assert run(blocked) == "sqlite3 False"


@pytest.mark.django_db(transaction=True)
def test_the_connection_of_a_request_survives_a_power_cut():
    assert modes() == SAFE


@pytest.mark.django_db(transaction=True)
def test_the_connections_of_a_lanes_threads_do_too():
    from dispatch.lease import Lease

    found = []

    def beat() -> None:
        try:
            Lease._shorten_busy_wait()
            found.append(modes())
        finally:
            connections.close_all()

    thread = threading.Thread(target=beat)
    thread.start()
    thread.join()
    assert found == [SAFE]


@pytest.mark.django_db(transaction=True)
def test_the_relays_connection_can_only_read():
    from jobs.live.tail import SqliteTail

    connection.ensure_connection()
    tail = SqliteTail(str(connection.settings_dict["NAME"]))
    try:
        with pytest.raises(sqlite.library().OperationalError, match="readonly"):
            tail._database.execute("DELETE FROM jobs_event")
        assert tail._database.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    finally:
        tail.close()


@pytest.mark.django_db(transaction=True)
def test_a_transaction_takes_the_write_lock_at_its_begin():
    """Otherwise a transaction that reads first fails at once when another one has written."""
    refused = []

    def write() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA busy_timeout=50")
                cursor.execute("DELETE FROM jobs_event")
        except OperationalError as error:
            refused.append(str(error))
        finally:
            connections.close_all()

    with transaction.atomic():  # nothing is written here
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert refused == ["database is locked"]


def test_django_uses_that_library_also_where_its_setup_comes_first(tmp_path):
    code = (
        "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'mobilesd.settings'\n"
        "import django; django.setup()\n"
        "from django.db.backends.sqlite3.base import Database\n"
        "from mobilesd import sqlite\n"
        "print(Database.sqlite_version_info == sqlite.version(), sqlite.mixed())"
    )
    assert run(code, MOBILESD_DATA_DIR=str(tmp_path)) == "True False"
