"""From a POST on an idle installation with a lingering lane to its arrival at the backend."""

import time
from collections.abc import Callable

from bench.common import Bounds, Figures, measure_at_one_server, params, round_trip, wait_until
from dispatch.fakes.forge import FakeForge
from tests.processes.installation import Installation

SAMPLES = 40


def begin(started: Installation, fake: FakeForge) -> Callable[[], Figures]:
    api = started.api

    def submit(seed: int) -> float:
        fake.log.clear()
        began = time.time()
        body = {"generation_params": params(seed, steps=4)}
        api.post("/api/v2/generate", json=body).raise_for_status()
        wait_until(lambda: fake.log.runs() and fake.log.runs()[0].ended_at is not None, 30)
        time.sleep(0.2)  # until the picture is stored: the lane must be idle again
        return (fake.log.runs()[0].arrived_at - began) * 1000

    submit(1)  # wakes the lane
    return lambda: Figures([submit(seed) for seed in range(SAMPLES)], round_trip(started))


if __name__ == "__main__":
    measure_at_one_server("Idle submit → arrival at the backend", Bounds(50, 150), 0.05, begin)
