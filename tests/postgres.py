"""A PostgreSQL server of this test run's own, and tests that are run a second time with it.

    with postgres_server() as database, redis_server() as redis:
        run_with(database.url, redis.url, "tests/lists/test_words.py")

The tests run in a process of their own, because Django's database is chosen once in a process.
"""

import ctypes
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from mobilesd.supervisor.network import free_port
from tests.processes.installation import ROOT, eventually

__all__ = ["RUN_SECONDS", "PostgresServer", "postgres_server", "run_with"]

RUN_SECONDS = 600
_PR_SET_PDEATHSIG = 1
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


def _programs() -> Path | None:
    """Return the folder with initdb and postgres: Debian keeps it out of the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, key=lambda file: int(file.parts[-3]), default=None)
    return newest.parent if newest else None


class PostgresServer:
    """One server in a folder; it can be stopped and started again in the middle of a test."""

    def __init__(self, root: Path, programs: Path) -> None:
        self._root = root
        self._programs = programs
        self._port = free_port()
        self._server: subprocess.Popen[bytes] | None = None
        # PostgreSQL refuses to run as root; `nobody` is on every system.
        self._account = "nobody" if os.getuid() == 0 else None
        password = secrets.token_hex(16)
        self.url = f"postgresql://tester:{password}@127.0.0.1:{self._port}/postgres"
        (root / "password").write_text(password)
        if self._account:
            shutil.chown(root, self._account)
            shutil.chown(root / "password", self._account)
        subprocess.run(
            [
                *(programs / "initdb", "-D", root / "data", "-U", "tester", "-E", "UTF8"),
                *("--locale=C.UTF-8", "--auth=scram-sha-256", "--no-sync"),
                f"--pwfile={root / 'password'}",
            ],
            user=self._account,
            cwd=root,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def start(self) -> None:
        """Start it with what it had; return when it answers."""
        options = [f"--{name}={value}" for name, value in _OPTIONS.items()]
        with (self._root / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [
                    *(self._programs / "postgres", "-D", self._root / "data"),
                    *("-p", str(self._port), "-k", self._root, *options),
                ],
                user=self._account,
                cwd=self._root,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,
            )
        eventually(self._answers, 30, "PostgreSQL answers")

    def stop(self) -> None:
        """End it and all connections to it."""
        if self._server is None:
            return
        self._server.send_signal(signal.SIGINT)  # "fast": open connections are ended
        try:
            self._server.wait(20)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server = None

    def _answers(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, "PostgreSQL did not start"
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Start an empty server. Skips the test where there is none."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: no initdb in the PATH or /usr/lib/postgresql.")
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        server = PostgresServer(Path(folder), programs)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)


def run_with(url: str, redis_url: str, *paths: str) -> None:
    """Run these tests with these servers; fail with their output if one of them fails."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", *paths],
        cwd=ROOT,
        env={**os.environ, "MOBILESD_DATABASE_URL": url, "MOBILESD_REDIS_URL": redis_url},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
