"""Two servers with a mixed queue: how busy both are, and how far the forecasts were off.

`python -m bench.two_servers [JOBS]`: pictures of 0.5 to 2 s, several checkpoints, all
submitted at once. Busy is the part of the time from a server's first begin to the end of its
last picture in which it made one or loaded a model.
"""

import random
import sqlite3
import statistics
import sys
from itertools import pairwise
from typing import Any

from bench.common import installation, params, wait_until

JOBS = 60
WANTED = 0.97


def _job(number: int, rng: random.Random) -> dict[str, Any]:
    wanted = params(number, steps=rng.choice([10, 20, 40]))
    name = rng.choice(["", "", *CHECKPOINTS])
    return wanted | ({"checkpoint_name": name} if name else {})


CHECKPOINTS: list[str] = []


def _busy(runs: list[Any]) -> tuple[float, float]:
    """Return how busy a server was between its first and last run, and its longest gap (s)."""
    done = sorted((run.started_at, run.ended_at) for run in runs if run.ended_at is not None)
    gaps = [max(0.0, later[0] - earlier[1]) for earlier, later in pairwise(done)]
    whole = done[-1][1] - done[0][0]
    return 1 - sum(gaps) / whole, max(gaps, default=0.0)


def main(count: int = JOBS) -> None:
    rng = random.Random(7)
    with installation(MOBILESD_LANES="2") as started:
        fakes = [started.fake(alias, seconds=1.0) for alias in ("first", "second")]
        listed = started.api.get("/api/v1/checkpoints").json()["checkpoints"]
        CHECKPOINTS[:] = [row["name"] for row in listed][:3]
        for number in range(count):
            body = {"generation_params": _job(number, rng)}
            started.api.post("/api/v2/generate", json=body).raise_for_status()

        def all_done() -> bool:
            return sum(run.ended_at is not None for f in fakes for run in f.log.runs()) >= count

        wait_until(all_done, count * 10)
        for alias, fake in zip(("first", "second"), fakes, strict=True):
            runs = fake.log.runs()
            busy, gap = _busy(runs)
            print(
                f"{alias:<8} {len(runs):4} pictures   busy {busy:6.1%}   longest gap"
                f" {gap * 1000:6.0f} ms   wanted: ≥ {WANTED:.0%}"
            )
        _print_errors(started)


def _print_errors(started: Any) -> None:
    """Print how far the forecasts were off that were written down when the jobs were sent."""
    database = sqlite3.connect(f"file:{started.data_dir}/mobilesd.sqlite3?mode=ro", uri=True)
    rows = database.execute(
        "SELECT expected_seconds, (julianday(ended_at) - julianday(submitted_at)) * 86400"
        " FROM jobs_attempt WHERE expected_seconds IS NOT NULL AND ended_at IS NOT NULL"
    ).fetchall()
    learned = database.execute(
        "SELECT forecasts, forecast_error FROM dispatch_timing WHERE forecasts > 0"
    ).fetchall()
    database.close()
    if learned:
        middle = statistics.median(error for _, error in learned)
        print(f"median error of the forecasts, by server and checkpoint: {middle:.1%}")
    print(f"{len(rows)} attempts had a forecast")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
