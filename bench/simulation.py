"""Playing a queue forward, as forecasts and the plan do: `python -m bench.simulation`."""

import os
import random
import time
from uuid import UUID

from bench.common import tell_and_exit, verdict

ROUNDS = 3
MODELS = 8
OWNERS = 5
# jobs, servers, seconds at most
SCENES = ((500, 3, 0.3), (500, 50, 2.0), (1_000, 3, 2.0))


def _seconds(jobs: int, servers: int) -> float:
    """Return the processor time that playing so many mixed jobs on so many servers takes."""
    from dispatch.scheduling import Candidate, ServerState
    from dispatch.simulation import Machine, Work, play
    from models_catalog.resolve import KnownModel, ModelIndex

    chance = random.Random(7)
    known = tuple(KnownModel(f"m{n}.safetensors") for n in range(MODELS))
    index = ModelIndex(known)
    machines = [
        Machine(
            ServerState(
                alias=f"s{n:03}",
                app_type="any",
                checkpoints=known,
                known_index=index,
                loaded=known[n % MODELS].name,
            ),
            {model.name: 1.0 for model in known},
        )
        for n in range(servers)
    ]
    works = [
        Work(
            Candidate(
                UUID(int=n + 1),
                "any",
                f"m{chance.randrange(MODELS)}",
                rank=(0, 5, n, ""),
                owner=f"user:{chance.randrange(OWNERS)}",
            ),
            chance.uniform(2, 20),
        )
        for n in range(jobs)
    ]
    began = time.thread_time()
    course = play(machines, works)
    took = time.thread_time() - began
    assert len(course.steps) == jobs
    return took


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mobilesd.settings")
    for jobs, servers, most in SCENES:
        took = min(_seconds(jobs, servers) for _ in range(ROUNDS))
        print(
            f"Playing {jobs:,} jobs on {servers} servers: {took:.2f} s of the processor"
            f"   wanted: ≤ {most} s: {verdict(took <= most)}"
        )


if __name__ == "__main__":
    main()
    tell_and_exit()
