"""GPU idle gap: from the end of job n at the backend to its start of job n + 1."""

from itertools import pairwise

from bench.common import (
    Bounds,
    Figures,
    best_of,
    installation,
    params,
    round_trip,
    show,
    tell_and_exit,
    wait_until,
)

JOBS = 40


def main() -> None:
    with installation() as started:
        fake = started.fake("gpu", seconds=0.5)

        def measure() -> Figures:
            fake.log.clear()
            api = started.api
            for seed in range(JOBS):
                answer = api.post("/api/v2/generate", json={"generation_params": params(seed)})
                answer.raise_for_status()
            wait_until(
                lambda: sum(run.ended_at is not None for run in fake.log.runs()) == JOBS, 120
            )
            runs = fake.log.runs()
            gaps = [
                (later.started_at - earlier.ended_at) * 1000
                for earlier, later in pairwise(runs)
                if later.started_at is not None and earlier.ended_at is not None
            ]
            return Figures(gaps, round_trip(started))

        show(f"GPU idle gap, {JOBS} jobs of 0.5 s", best_of(measure), Bounds(10, 50))


if __name__ == "__main__":
    main()
    tell_and_exit()
