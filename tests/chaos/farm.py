"""An installation with three servers behind bad networks, and programs that send it work."""

import contextlib
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import requests

from mobilesd import sqlite
from mobilesd.supervisor.network import free_port
from tests.chaos.clock import ShiftedClock
from tests.chaos.disk import SmallDisk
from tests.chaos.proxy import Proxy
from tests.processes.installation import ROOT, Api, Installation, eventually

__all__ = ["Client", "Fake", "Farm"]

SERVERS = ("one", "two", "three")
QUICK = {
    "MOBILESD_SWEEP_SECONDS": "0.5",
    "MOBILESD_LEASE_STALE_SECONDS": "6",
    "MOBILESD_LANES": "3",
    "MOBILESD_MIN_FREE_MB": "0",  # the disk is smaller than what is kept free elsewhere
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
            self._exits = starting.pop_all()
        return self

    def __exit__(self, *error: Any) -> bool | None:
        return self._exits.__exit__(*error)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read the database from outside, without ever locking it."""
        connection = sqlite.library().connect(
            f"file:{self.inst.data_dir / 'mobilesd.sqlite3'}?mode=ro", uri=True, timeout=20
        )
        try:
            return list(connection.execute(query).fetchall())
        finally:
            connection.close()


class Client(threading.Thread):
    """Submits its jobs as a careful program does, and cancels some.

    `accepted` are the ids that it was answered, by number; `cancelled` those of a cancel that was
    answered with 200.
    """

    def __init__(self, farm: Farm, api: Api, numbers: range, seed: int) -> None:
        super().__init__(daemon=True)
        self.accepted: dict[int, str] = {}
        self.cancelled: set[str] = set()
        self.error: BaseException | None = None
        self._farm = farm
        self._api = api
        self._numbers = numbers
        self._chance = random.Random(seed)
        self.pause = threading.Event()  # set: go on without waiting between two jobs

    def run(self) -> None:
        try:
            for number in self._numbers:
                self.accepted[number] = self.submit(number)
                if self._chance.random() < 0.08:
                    self._cancel(self.accepted[self._chance.choice(list(self.accepted))])
                self.pause.wait(self._chance.uniform(0, 0.4))
        except BaseException as error:
            self.error = error

    def submit(self, number: int, seconds: float = 180) -> str:
        """Send a job again and again under one idempotency key until there is an answer."""
        body = {
            "generation_params": {
                "positive_prompt": f"picture {number}",
                "width": 64,
                "height": 64,
                "steps": 4,
                "seed": number,
                "batch_size": 1 + number % 2,
            },
            "idempotency_key": f"chaos-{number}",
        }

        def answered() -> str | None:
            with contextlib.suppress(requests.RequestException):
                answer = self._api.post("/api/v2/generate", json=body)
                if answer.status_code in (200, 202):
                    return str(answer.json()["mobilesd_job_id"])
                assert answer.status_code in (429, 500, 503, 507), answer.text
            return None

        return str(eventually(answered, seconds, f"job {number} accepted"))

    def _cancel(self, job_id: str) -> None:
        with contextlib.suppress(requests.RequestException):
            answer = self._api.post(f"/api/v2/jobs/{job_id}/cancel")
            if answer.status_code == 200:
                self.cancelled.add(job_id)
