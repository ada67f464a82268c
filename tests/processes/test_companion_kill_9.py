"""With our companion at the server, `kill -9` of all of MobileSD in mid-job costs no second run."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from mobilesd.supervisor.network import free_port
from tests.processes.installation import ROOT, Installation, eventually

pytestmark = pytest.mark.processes

QUICK = {"MOBILESD_SWEEP_SECONDS": "0.5", "MOBILESD_LEASE_STALE_SECONDS": "6"}


class FakeServer:
    """`fake_forge --companion` as a process of its own."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        self._process = subprocess.Popen(
            [
                *(sys.executable, "manage.py", "fake_forge", "--port", self.url.split(":")[-1]),
                *("--seconds", str(seconds), "--companion", str(folder)),
            ],
            cwd=ROOT,
            env={**os.environ, "MOBILESD_DATA_DIR": str(folder.with_name("fake-data"))},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert "listening" in self._process.stdout.readline()

    @property
    def token(self) -> str:
        [file] = self.folder.glob("companion_token-*")
        return file.read_text()

    def runs(self) -> list[dict]:
        return requests.get(f"{self.url}/_fake/log", timeout=5).json()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextlib.contextmanager
def fake_server(folder: Path, seconds: float) -> Iterator[FakeServer]:
    server = FakeServer(folder, seconds)
    try:
        yield server
    finally:
        server.stop()


def kill_everything(inst: Installation) -> None:
    """Kill `up` and all below it at once, as a power cut does."""
    assert inst.up is not None
    processes = psutil.Process(inst.up.pid).children(recursive=True)
    inst.kill()
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: not inst.left_behind(), 10, "no process stays behind")


def test_a_picture_in_the_making_is_fetched_by_the_next_start(data_dir: Path) -> None:
    with (
        fake_server(data_dir / "companion", 4) as fake,
        Installation(data_dir / "inst", env=QUICK) as inst,
    ):
        added = subprocess.run(
            [
                *(sys.executable, "manage.py", "add_server", "gpu", fake.url),
                "--companion-token-stdin",
            ],
            cwd=ROOT,
            env=inst.env,
            input=fake.token,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "cancels exactly, results survive a restart" in added.stdout
        assert fake.token not in added.stdout + added.stderr
        jobs = [inst.submit(seed=number) for number in range(2)]
        eventually(lambda: [run for run in fake.runs() if run["started_at"]], 20)
        time.sleep(1)  # in the middle of it
        kill_everything(inst)
        inst.start()
        for job in jobs:
            eventually(lambda job=job: inst.job(job)["status"] == "completed", 40, "completed")
        runs = fake.runs()
        assert len(runs) == 2, "each picture was made once"
        assert not any(run["interrupted"] for run in runs)
