"""The driver: work comes in while things break, then it is calm, and the truths are looked at."""

import contextlib
import random
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.client import Client
from tests.chaos.farm import Farm
from tests.chaos.troubles import impossible, troubles
from tests.chaos.truths import everything_ended, hold

__all__ = ["Plan", "run"]

CLIENTS = 3


@dataclass(frozen=True)
class Plan:
    """How much: `jobs` orders, some of several jobs; troubles until `seconds` are over."""

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
        for what in impossible(farm):
            say(f"NOT TRIED on this machine: {what}")
            warnings.warn(f"chaos without {what}", stacklevel=1)
        clients = [
            Client(farm, farm.api(n), range(n, plan.jobs, CLIENTS), plan.seed + n)
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
        assert sum(len(client.accepted) for client in clients) == plan.jobs
        farm.inst.wait_ready()
        everything_ended(farm, plan.calm_seconds)
        for client in clients:  # the keys are known after all that
            for number, jobs in client.accepted.items():
                assert client.submit(number) == jobs
        accepted = [job for client in clients for jobs in client.accepted.values() for job in jobs]
        cancelled = {job for client in clients for job in client.cancelled}
        hold(farm, accepted, cancelled)
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
