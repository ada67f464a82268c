"""Page 1 of GET /api/v2/jobs with 100,000 jobs in the database."""

import os
import subprocess
import sys
import time

from bench.common import Figures, best_of, installation, round_trip, show

JOBS = 100_000
SAMPLES = 60


def main() -> None:
    with installation() as started:
        subprocess.run(
            [sys.executable, "-m", "bench.seed", str(JOBS)],
            env={**os.environ, **started.env},
            check=True,
        )
        key = started.create_key("--scopes", "admin,jobs:all,jobs:read")
        api = started.api
        api.headers["Authorization"] = f"Api-Key {key}"

        def measure() -> Figures:
            samples = []
            for _ in range(SAMPLES):
                began = time.perf_counter()
                answer = api.get("/api/v2/jobs")
                samples.append((time.perf_counter() - began) * 1000)
                answer.raise_for_status()
                assert len(answer.json()["jobs"]) == 50
            return Figures(samples, round_trip(started))

        show(f"GET /api/v2/jobs, {JOBS:,} jobs, page 1", best_of(measure), "p95 ≤ 40 ms")


if __name__ == "__main__":
    main()
