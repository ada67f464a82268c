"""GPU idle gap: from the end of job n at the backend to its start of job n + 1."""

from collections.abc import Callable
from itertools import pairwise

from bench.common import Bounds, Figures, measure_at_one_server, params, round_trip, wait_until
from dispatch.fakes.forge import FakeForge
from tests.processes.installation import Installation

JOBS = 40
SECONDS = 0.5


def begin(started: Installation, fake: FakeForge) -> Callable[[], Figures]:
    def measure() -> Figures:
        fake.log.clear()
        api = started.api
        for seed in range(JOBS):
            answer = api.post("/api/v2/generate", json={"generation_params": params(seed)})
            answer.raise_for_status()
        wait_until(lambda: sum(run.ended_at is not None for run in fake.log.runs()) == JOBS, 120)
        runs = fake.log.runs()
        gaps = [
            (later.started_at - earlier.ended_at) * 1000
            for earlier, later in pairwise(runs)
            if later.started_at is not None and earlier.ended_at is not None
        ]
        return Figures(gaps, round_trip(started))

    return measure


if __name__ == "__main__":
    name = f"GPU idle gap, {JOBS} jobs of {SECONDS} s"
    measure_at_one_server(name, Bounds(10, 50), SECONDS, begin)
