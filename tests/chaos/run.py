"""The driver: work comes in while things break, then it is calm, and the truths are looked at."""

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.farm import Client, Farm
from tests.chaos.troubles import troubles
from tests.chaos.truths import everything_ended, hold

__all__ = ["Plan", "run"]

CLIENTS = 3


@dataclass(frozen=True)
class Plan:
    """How much: troubles come one after the other until `seconds` are over."""

    seed: int
    jobs: int
    seconds: float
    freeze_seconds: float
    calm_seconds: float = 240


def run(plan: Plan, folder: Path, say: Callable[[str], object]) -> None:
    """Let it happen; raise AssertionError with what does not hold at the end.

    The same seed gives the same troubles in the same order; what they hit depends on the machine.
    """
    chance = random.Random(plan.seed)
    say(f"CHAOS_SEED={plan.seed}")
    with Farm(folder) as farm:
        clients = [
            Client(farm, farm.inst.api, range(n, plan.jobs, CLIENTS), plan.seed + n)
            for n in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        _break_things(farm, chance, plan, say)
        for client in clients:
            client.pause.set()
            client.join()
            if client.error is not None:
                raise client.error
        accepted = {n: job for client in clients for n, job in client.accepted.items()}
        assert len(set(accepted.values())) == plan.jobs
        everything_ended(farm, plan.calm_seconds)
        for number, job_id in accepted.items():  # the keys are known after all that
            assert clients[0].submit(number) == job_id
        cancelled = {job for client in clients for job in client.cancelled}
        hold(farm, accepted.values(), cancelled)
        say(str(farm.rows("SELECT status, error_code, count(*) FROM jobs_job GROUP BY 1, 2")))


def _break_things(
    farm: Farm, chance: random.Random, plan: Plan, say: Callable[[str], object]
) -> None:
    known = troubles(farm, plan.freeze_seconds)
    began = time.monotonic()
    while (passed := time.monotonic() - began) < plan.seconds:
        trouble = chance.choice(known)
        say(f"{passed:6.1f} s  {trouble.__name__.replace('_', ' ')}")
        with contextlib.suppress(OSError):
            trouble(farm, chance)
        time.sleep(chance.uniform(0.2, 2))
