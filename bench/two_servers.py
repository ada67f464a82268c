"""Two servers with a mixed queue: how busy both are, and how far off the forecasts were.

`python -m bench.two_servers [JOBS]`: pictures of 0.5 to 2 s, several checkpoints, all
submitted at once, to servers that have run each of them before. Busy is the part of the time from
a server's first begin to the end of its last picture in which it made one or loaded a model.
"""

import random
import sqlite3
import statistics
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from bench.common import installation, params, tell_and_exit, verdict, wait_until

JOBS = 60
WANTED = 0.97
ALIASES = ("first", "second")
SPEED = {"step_seconds": 0.05, "load_seconds": 1.5}
DURATION_ERROR = 0.2
START_ERROR = 0.25


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
        fakes = [started.fake(alias, **SPEED) for alias in ALIASES]
        listed = started.api.get("/api/v1/checkpoints").json()["checkpoints"]
        CHECKPOINTS[:] = [row["name"] for row in listed][:3]
        _warm_up(started, fakes)
        for number in range(count):
            body = {"generation_params": _job(number, rng)}
            started.api.post("/api/v2/generate", json=body).raise_for_status()

        def all_done() -> bool:
            # Somebody looks at the queue: that is when starts are foretold.
            started.api.get("/api/v2/queue").raise_for_status()
            return sum(run.ended_at is not None for f in fakes for run in f.log.runs()) >= count

        wait_until(all_done, count * 10)
        for alias, fake in zip(ALIASES, fakes, strict=True):
            runs = fake.log.runs()
            busy, gap = _busy(runs)
            print(
                f"{alias:<8} {len(runs):4} pictures   busy {busy:6.1%}   longest gap"
                f" {gap * 1000:6.0f} ms   wanted: ≥ {WANTED:.0%}: {verdict(busy >= WANTED)}"
            )
        _print_errors(started)


def _warm_up(started: Any, fakes: Sequence[Any]) -> None:
    """Let both servers run each checkpoint, so that something is known of their speed."""
    wanted = [
        {"target_server_alias": alias, "generation_params": params(n, 10) | checkpoint}
        for alias in ALIASES
        for checkpoint in ({}, *({"checkpoint_name": name} for name in CHECKPOINTS))
        for n in range(2)
    ]
    for body in wanted:
        started.api.post("/api/v2/generate", json=body).raise_for_status()

    def pending() -> int:
        counts = started.api.get("/api/v2/queue").json()["counts"]
        return int(counts["pending"] + counts["processing"])

    wait_until(lambda: not pending(), 20 * len(wanted))
    for fake in fakes:
        fake.log.clear()


def _print_errors(started: Any) -> None:
    """Print how far off the forecasts were: of each run's duration, and of each job's start.

    Durations as they were expected when a job was sent, starts as they were first told of a job
    that had to wait, as a part of that wait.
    """
    database = sqlite3.connect(f"file:{started.data_dir}/mobilesd.sqlite3?mode=ro", uri=True)
    durations = database.execute(
        "SELECT expected_seconds, (julianday(ended_at) - julianday(began_at)) * 86400"
        " FROM jobs_attempt a JOIN jobs_job j ON j.id = a.job_id"
        " WHERE a.outcome = 'completed' AND began_at IS NOT NULL"
        " AND expected_seconds IS NOT NULL AND j.target_server_alias = ''"
    ).fetchall()
    waits = database.execute(
        "SELECT (julianday(at) - julianday(told_at)) * 86400,"
        " (julianday(began_at) - julianday(told_at)) * 86400"
        " FROM dispatch_expectedstart e JOIN jobs_attempt a ON a.job_id = e.job_id"
        " JOIN jobs_job j ON j.id = e.job_id"
        " WHERE a.number = 1 AND a.began_at > e.told_at AND j.target_server_alias = ''"
    ).fetchall()
    database.close()
    for name, pairs, most in (
        ("a run's duration", durations, DURATION_ERROR),
        ("a job's start", waits, START_ERROR),
    ):
        if not pairs:
            print(f"error of the forecasts of {name}: none was told: {verdict(False)}")
            continue
        errors = [abs(expected - real) / max(real, 0.001) for expected, real in pairs]
        seconds = [abs(expected - real) for expected, real in pairs]
        middle = statistics.median(errors)
        print(
            f"error of the forecasts of {name}: median {middle:.1%}"
            f" ({statistics.median(seconds):.2f} s) of {len(pairs)}"
            f"   wanted: ≤ {most:.0%}: {verdict(middle <= most)}"
        )


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
    tell_and_exit()
