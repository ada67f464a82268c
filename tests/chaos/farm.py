"""An installation with three servers behind bad networks, used by two people."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from mobilesd import sqlite
from mobilesd.supervisor.network import free_port
from tests.chaos.clock import ShiftedClock
from tests.chaos.disk import SmallDisk
from tests.chaos.proxy import Proxy
from tests.processes.installation import ROOT, Api, Installation

__all__ = ["LITTLE_MB", "Fake", "Farm"]

SERVERS = ("one", "two", "three")
LITTLE_MB = 60  # so much is kept free: the disk is smaller than elsewhere
QUICK = {
    "MOBILESD_SWEEP_SECONDS": "0.5",
    "MOBILESD_LEASE_STALE_SECONDS": "6",
    "MOBILESD_LANES": "3",
    "MOBILESD_MIN_FREE_MB": str(LITTLE_MB),
}


class Fake:
    """A fake server as a process of its own, so that it can be killed and comes back."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.port = free_port()
        self._seconds = seconds
        self._env = {**os.environ, "MOBILESD_DATA_DIR": str(folder)}
        self.process: psutil.Process
        self._started: subprocess.Popen[str]

    def start(self) -> None:
        self._started = subprocess.Popen(
            [
                *(sys.executable, "manage.py", "fake_forge", "--port", str(self.port)),
                *("--seconds", str(self._seconds), "--load-seconds", "0.3"),
            ],
            cwd=ROOT,
            env=self._env,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._started.stdout is not None
        assert "listening" in self._started.stdout.readline()
        self.process = psutil.Process(self._started.pid)

    def kill(self) -> None:
        self._started.kill()
        self._started.wait()
        assert self._started.stdout is not None
        self._started.stdout.close()


class Farm:
    """The parts that break; use it in a `with`."""

    def __init__(self, folder: Path, seconds: float = 0.15) -> None:
        self._folder = folder
        self._exits = contextlib.ExitStack()
        self.clock = ShiftedClock(folder) if ShiftedClock.possible() else None
        self.disk = SmallDisk(folder / "disk")
        self.fakes = [Fake(folder / f"fake-{alias}", seconds) for alias in SERVERS]
        self.proxies = [Proxy(fake.port) for fake in self.fakes]

    def __enter__(self) -> "Farm":
        with contextlib.ExitStack() as starting:
            starting.enter_context(self.disk)
            for fake in self.fakes:
                fake.start()
                starting.callback(fake.kill)
            for proxy in self.proxies:
                starting.enter_context(proxy)
            env = {**QUICK, **(self.clock.env if self.clock else {})}
            inst = Installation(self.disk.folder / "data", env=env)
            self.inst = starting.enter_context(inst)
            for alias, proxy in zip(SERVERS, self.proxies, strict=True):
                self.inst.manage("add_server", alias, proxy.url)
            self.inst.create_user("anna")
            self._key_of_anna = self.inst.create_key("--owner", "anna")
            self._exits = starting.pop_all()
        return self

    def __exit__(self, *error: Any) -> bool | None:
        return self._exits.__exit__(*error)

    def api(self, number: int) -> Api:
        """Return a client: of the installation itself, or of somebody who signed in."""
        return Api(self.inst.url, self._key_of_anna) if number % 3 else self.inst.api

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read the database from outside, without ever locking it."""
        connection = sqlite.library().connect(
            f"file:{self.inst.data_dir / 'mobilesd.sqlite3'}?mode=ro", uri=True, timeout=20
        )
        try:
            return list(connection.execute(query).fetchall())
        finally:
            connection.close()
