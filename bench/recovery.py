"""After a kill -9 of dispatch: until a new lane has each running attempt, or its job waits."""

import os
import random
import signal
import statistics
import time

from bench.common import installation, params, tell_and_exit, verdict, wait_until
from tests.processes.installation import Installation
from tests.processes.test_kill_9 import rows

KILLS = 5
WANTED_SECONDS = 15
SERVERS = ("one", "two")
OPEN = "SELECT token, lane FROM jobs_attempt WHERE ended_at IS NULL AND submitted_at IS NOT NULL"


def _kill(started: Installation) -> float:
    """Return the seconds from the restart until everything that ran is in somebody's hands."""
    wait_until(lambda: len(rows(started, OPEN)) >= len(SERVERS), 60)
    time.sleep(random.uniform(0.5, 3))
    before = set(rows(started, OPEN))
    killed = started.process("dispatch").pid
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: started.process("dispatch").pid != killed, 60)
    began = time.monotonic()
    wait_until(lambda: not before & set(rows(started, OPEN)), 60)
    return time.monotonic() - began


def main() -> None:
    with installation() as started:
        for alias in SERVERS:
            started.fake(alias, seconds=4.0)
        api = started.api
        for seed in range(KILLS * 30):
            api.post("/api/v2/generate", json={"generation_params": params(seed)})
        took = [_kill(started) for _ in range(KILLS)]
    print(
        f"Recovery after kill -9 of dispatch, {KILLS} times: median"
        f" {statistics.median(took):.1f} s, worst {max(took):.1f} s from the restart"
        f"   wanted: ≤ {WANTED_SECONDS} s: {verdict(max(took) <= WANTED_SECONDS)}"
    )


if __name__ == "__main__":
    main()
    tell_and_exit()
