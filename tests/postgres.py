"""A PostgreSQL server of this test run's own, and tests that are run a second time with it.

    def test_it_holds_on_postgresql(postgres_url):
        run_with(postgres_url, "tests/lists/test_search.py")

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

__all__ = ["RUN_SECONDS", "postgres", "run_with"]

RUN_SECONDS = 600
_PR_SET_PDEATHSIG = 1
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


def _programs() -> Path | None:
    """Return the folder with initdb and postgres: Debian keeps it out of the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, key=lambda file: int(file.parts[-3]), default=None)
    return newest.parent if newest else None


@contextmanager
def postgres() -> Iterator[str]:
    """Start an empty server; yield the URL of its database. Skips the test where there is none."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: no initdb in the PATH or /usr/lib/postgresql.")
    # PostgreSQL refuses to run as root; `nobody` is on every system.
    account = "nobody" if os.getuid() == 0 else None
    password, port = secrets.token_hex(16), free_port()
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        root = Path(folder)
        (root / "password").write_text(password)
        if account:
            shutil.chown(root, account)
            shutil.chown(root / "password", account)
        subprocess.run(
            [
                *(programs / "initdb", "-D", root / "data", "-U", "tester", "-E", "UTF8"),
                *("--locale=C.UTF-8", "--auth=scram-sha-256", "--no-sync"),
                f"--pwfile={root / 'password'}",
            ],
            user=account,
            cwd=root,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        options = [f"--{name}={value}" for name, value in _OPTIONS.items()]
        with (root / "log").open("wb") as log:
            server = subprocess.Popen(
                [
                    *(programs / "postgres", "-D", root / "data", "-p", str(port)),
                    *("-k", root, *options),
                ],
                user=account,
                cwd=root,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,
            )
        url = f"postgresql://tester:{password}@127.0.0.1:{port}/postgres"
        try:
            eventually(lambda: _answers(url, server), 30, "PostgreSQL answers")
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # "fast": open connections are ended
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)


def _answers(url: str, server: "subprocess.Popen[bytes]") -> bool:
    assert server.poll() is None, "PostgreSQL did not start"
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def run_with(url: str, *paths: str) -> None:
    """Run these tests with this database; fail with their output if one of them fails."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", *paths],
        cwd=ROOT,
        env={**os.environ, "MOBILESD_DATABASE_URL": url},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
