"""From a POST on an idle installation with a lingering lane to its arrival at the backend."""

import time

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

SAMPLES = 40


def main() -> None:
    with installation() as started:
        fake = started.fake("gpu", seconds=0.05)
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

        def measure() -> Figures:
            return Figures([submit(seed) for seed in range(SAMPLES)], round_trip(started))

        show("Idle submit → arrival at the backend", best_of(measure), Bounds(50, 150))


if __name__ == "__main__":
    main()
    tell_and_exit()
