"""Playing a queue forward, as forecasts and the plan do: `python -m bench.simulation`.

Also how far off the forecasts of a server are that ran little or nothing yet, beside one that is
known: made-up speeds, which differ by server, checkpoint and kind, are played as they are and as
they are told.
"""

import os
import random
import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
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


# Seconds for a unit of work and for a load; the second server is slower with all of it.
FAST = {"sd15": (0.08, 4.0), "xl": (0.4, 12.0), "flux": (1.1, 30.0)}
SLOWER = 2.5
IMG2IMG = 1.3
COLD_ERROR = 0.25


def _true_speeds(factor: float) -> tuple[dict[tuple[str, str], float], dict[str, float]]:
    chance = random.Random(factor)
    kinds = {
        (kind, name): seconds * factor * extra * chance.uniform(0.9, 1.1)
        for name, (seconds, _) in FAST.items()
        for kind, extra in (("txt2img", 1.0), ("img2img", IMG2IMG))
    }
    return kinds, {name: load * factor for name, (_, load) in FAST.items()}


def _cold_error(learned: set[tuple[str, str]]) -> float:
    """Return how far off (median, as a part of the wait) starts are while the slow server has
    learned only so much."""
    from dispatch.scheduling import Candidate, ServerState
    from dispatch.simulation import Machine, Work, play
    from dispatch.speeds import by_checkpoint, filled
    from models_catalog.resolve import KnownModel, ModelIndex

    known = tuple(KnownModel(name) for name in FAST)
    state = ServerState(
        alias="", app_type="any", checkpoints=known, known_index=ModelIndex(known), loaded="sd15"
    )
    (fast, fast_loads), (slow, slow_loads) = _true_speeds(1.0), _true_speeds(SLOWER)
    seen = {key: slow[key] for key in learned}
    loads_seen = {("", name): slow_loads[name] for _, name in learned}
    told = filled(seen, [fast])
    loads_told = filled(loads_seen, [{("", n): s for n, s in fast_loads.items()}])

    def machine(alias: str, kinds: Mapping[tuple[str, str], float], loads: Any) -> Machine:
        own = replace(state, alias=alias)
        return Machine(own, by_checkpoint(kinds), kind_seconds=kinds, load_seconds=loads)

    chance = random.Random(7)
    works = [
        Work(
            Candidate(UUID(int=n + 1), "any", chance.choice(list(FAST)), rank=(0, 5, n, "")),
            chance.uniform(2, 20),
            kind=chance.choice(["txt2img", "img2img"]),
        )
        for n in range(60)
    ]
    real = play([machine("a", fast, fast_loads), machine("b", slow, slow_loads)], works)
    guess = {name: seconds for (_, name), seconds in loads_told.items()}
    played = play([machine("a", fast, fast_loads), machine("b", told, guess)], works)
    begins = {step.job: step.start for step in real.steps if step.start > 0}
    return statistics.median(
        abs(step.start - begins[step.job]) / begins[step.job]
        for step in played.steps
        if step.job in begins
    )


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mobilesd.settings")
    for jobs, servers, most in SCENES:
        took = min(_seconds(jobs, servers) for _ in range(ROUNDS))
        print(
            f"Playing {jobs:,} jobs on {servers} servers: {took:.2f} s of the processor"
            f"   wanted: ≤ {most} s: {verdict(took <= most)}"
        )
    for words, learned in (
        ("nothing", set()),
        ("one checkpoint", {("txt2img", "sd15")}),
        ("two checkpoints", {("txt2img", "sd15"), ("txt2img", "xl")}),
    ):
        error = _cold_error(learned)
        print(
            f"Starts are off by {error:5.1%} while a server has learned {words}"
            f"   wanted once it ran anything: ≤ {COLD_ERROR:.0%}:"
            f" {verdict(not learned or error <= COLD_ERROR)}"
        )


if __name__ == "__main__":
    main()
    tell_and_exit()
