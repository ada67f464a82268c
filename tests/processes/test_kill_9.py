"""Nothing accepted is lost, and no picture is made twice, whatever is killed and when."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from mobilesd import sqlite
from mobilesd.supervisor.network import free_port
from tests.processes.installation import ROOT, Installation, eventually

pytestmark = pytest.mark.processes

JOBS = int(os.environ.get("CHAOS_JOBS", "60"))
KILLS = int(os.environ.get("CHAOS_KILLS", "7"))
QUICK = {"MOBILESD_SWEEP_SECONDS": "0.5", "MOBILESD_LEASE_STALE_SECONDS": "6"}


class FakeProcess:
    """A fake server as a process of its own, so that it can be killed and comes back."""

    def __init__(self, data_dir: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._env = {**os.environ, "MOBILESD_DATA_DIR": str(data_dir)}
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "manage.py", "fake_forge"),
                *("--port", str(self.port), "--seconds", "0.15"),
            ],
            cwd=ROOT,
            env=self._env,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert "listening" in self._process.stdout.readline()

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextlib.contextmanager
def fake_process(data_dir: Path) -> Iterator[FakeProcess]:
    fake = FakeProcess(data_dir.with_name("fake-data"))
    fake.start()
    try:
        yield fake
    finally:
        fake.kill()


def rows(inst: Installation, query: str) -> list[tuple[Any, ...]]:
    """Read the installation's database from outside, without ever locking it."""
    connection = sqlite.library().connect(
        f"file:{inst.data_dir / 'mobilesd.sqlite3'}?mode=ro", uri=True, timeout=20
    )
    try:
        return list(connection.execute(query).fetchall())
    finally:
        connection.close()


def submit(inst: Installation, number: int, seconds: float = 60) -> str:
    """Submit a job as a careful client does: the same key again until there is an answer."""
    body = {
        "generation_params": {
            "positive_prompt": f"picture {number}",
            "width": 64,
            "height": 64,
            "steps": 4,
            "seed": number,
        },
        "idempotency_key": f"chaos-{number}",
    }
    api = inst.api

    def answered() -> str | None:
        with contextlib.suppress(requests.RequestException):
            answer = api.post("/api/v2/generate", json=body)
            if answer.status_code in (200, 202):
                return str(answer.json()["mobilesd_job_id"])
            assert answer.status_code in (429, 503), answer.text
        return None

    return str(eventually(answered, seconds, f"job {number} accepted"))


def assert_every_job_has_its_picture(inst: Installation, count: int, seconds: float) -> None:
    eventually(
        lambda: (
            rows(inst, "SELECT count(*) FROM jobs_job WHERE status = 'completed'") == [(count,)]
            and not rows(inst, "SELECT 1 FROM jobs_attempt WHERE cleared_at IS NULL")
        ),
        seconds,
        "all completed: "
        + str(rows(inst, "SELECT status, error_code, count(*) FROM jobs_job GROUP BY 1, 2")),
    )
    assert rows(inst, "SELECT count(*), count(DISTINCT job_id) FROM gallery_image") == [
        (count, count)
    ]
    assert not rows(inst, "SELECT 1 FROM jobs_attempt WHERE ended_at IS NULL")
    hashes = {sha for (sha,) in rows(inst, "SELECT sha256 FROM gallery_image")}
    for sha in hashes:
        assert (inst.data_dir / "images" / sha[:2] / sha).is_file()


def test_every_job_is_made_once_though_dispatch_web_and_backend_are_killed(
    data_dir: Path,
) -> None:
    seed = int(os.environ.get("CHAOS_SEED", "0")) or random.randrange(1, 10**6)
    chance = random.Random(seed)
    sys.stdout.write(f"CHAOS_SEED={seed}\n")  # shown when the test fails: the same kills again
    with fake_process(data_dir) as fake, Installation(data_dir / "inst", env=QUICK) as inst:
        inst.manage("add_server", "gpu", fake.url)
        ids = [submit(inst, number) for number in range(JOBS // 2)]
        victims = ["dispatch", "web", "fake"] * KILLS
        chance.shuffle(victims)
        for number, victim in enumerate(victims[:KILLS]):
            time.sleep(chance.uniform(0.3, 2.0))
            if victim == "fake":
                fake.kill()
                time.sleep(chance.uniform(0, 0.5))
                fake.start()
            else:
                os.kill(inst.process(victim).pid, signal.SIGKILL)
            part = range(JOBS // 2 + number, JOBS, KILLS)
            ids += [submit(inst, job) for job in part]
        assert len(set(ids)) == JOBS
        assert_every_job_has_its_picture(inst, JOBS, 150)


def test_a_killed_supervisor_is_taken_up_where_it_was_at_the_next_start(data_dir: Path) -> None:
    with fake_process(data_dir) as fake, Installation(data_dir / "inst", env=QUICK) as inst:
        inst.manage("add_server", "gpu", fake.url)
        for number in range(12):
            submit(inst, number)
        eventually(lambda: rows(inst, "SELECT 1 FROM gallery_image LIMIT 1"))
        inst.kill()
        eventually(lambda: not inst.left_behind(), 10, "no process stays behind")
        inst.start()
        assert_every_job_has_its_picture(inst, 12, 60)


def test_a_stop_in_the_middle_of_a_job_leaves_it_to_the_next_start(data_dir: Path) -> None:
    with fake_process(data_dir) as fake, Installation(data_dir / "inst", env=QUICK) as inst:
        inst.manage("add_server", "gpu", fake.url)
        for number in range(8):
            submit(inst, number)
        eventually(lambda: rows(inst, "SELECT 1 FROM gallery_image LIMIT 1"))
        assert inst.stop() < 5
        assert not inst.left_behind()
        inst.start()
        assert_every_job_has_its_picture(inst, 8, 60)
