"""Fifty servers driven by one machine: CPU and memory for each of them.

python -m bench.fifty [SERVERS]
"""

import subprocess
import sys
import time

import psutil

from bench.common import installation, params, tell_and_exit, verdict, wait_until
from tests.processes.installation import ROOT, Api, Installation
from tests.processes.test_kill_9 import rows

SECONDS_A_PICTURE = 10.0
MEASURED_SECONDS = 60.0
WANTED = 0.9
_FAKES = """
import sys, time
from dispatch.fakes.forge import FakeForge
fakes = [FakeForge(seconds={seconds}).__enter__() for _ in range({count})]
print(*(fake.url for fake in fakes), flush=True)
sys.stdin.read()
"""


def _cpu(started: Installation) -> float:
    assert started.up is not None
    seconds = 0.0
    for process in [psutil.Process(started.up.pid), *started.children()]:
        times = process.cpu_times()
        seconds += times.user + times.system
    return seconds


def _memory(started: Installation) -> tuple[float, int]:
    assert started.up is not None
    processes = [psutil.Process(started.up.pid), *started.children()]
    return sum(p.memory_full_info().pss for p in processes) / 2**20, len(processes)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    code = _FAKES.format(seconds=SECONDS_A_PICTURE, count=count)
    with subprocess.Popen(
        [sys.executable, "-c", "import mobilesd\n" + code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as fakes:
        assert fakes.stdout is not None
        urls = fakes.stdout.readline().split()
        try:
            _measure(urls)
        finally:
            fakes.kill()


def _measure(urls: list[str]) -> None:
    with installation(MOBILESD_LANES=str(len(urls))) as started:
        scopes = "admin,jobs:read,jobs:write,servers:read"
        api = Api(started.url, started.create_key("--scopes", scopes, "--rate", "unlimited"))
        for number, url in enumerate(urls):
            body = {"alias": f"gpu-{number}", "apiUrl": url, "app_type": "forge"}
            api.post("/api/v1/servers", json=body).raise_for_status()
        wanted = int(len(urls) * (MEASURED_SECONDS / SECONDS_A_PICTURE + 6))
        for seed in range(wanted):
            order = {"generation_params": params(seed)}
            api.post("/api/v2/generate", json=order).raise_for_status()
        running = "SELECT count(*) FROM jobs_job WHERE status = 'processing'"
        wait_until(lambda: rows(started, running)[0][0] >= len(urls), 180)
        done = "SELECT count(*) FROM jobs_job WHERE status = 'completed'"
        before, cpu, began = rows(started, done)[0][0], _cpu(started), time.monotonic()
        time.sleep(MEASURED_SECONDS)
        passed = time.monotonic() - began
        made = rows(started, done)[0][0] - before
        used = _cpu(started) - cpu
        memory, processes = _memory(started)
        share = made * SECONDS_A_PICTURE / passed / len(urls)
        print(
            f"{len(urls)} servers, pictures of {SECONDS_A_PICTURE:.0f} s: {made} in {passed:.0f} s"
            f" ({share:.0%} of what they can, wanted: ≥ {WANTED:.0%}: {verdict(share >= WANTED)});"
            f" {used / passed / len(urls):.2%} of a core and {memory / len(urls):.0f} MB each"
            f" ({used / passed:.0%} of a core, {memory:.0f} MB PSS, {processes} processes in all)"
        )


if __name__ == "__main__":
    main()
    tell_and_exit()
