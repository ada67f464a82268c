"""The short form; `python -m bench.chaos` is the long one."""

import os
import random
import sys
from pathlib import Path

import pytest

from tests.chaos.run import Plan, run

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]


def test_nothing_accepted_is_lost_or_made_twice_whatever_breaks(tmp_path: Path) -> None:
    seed = int(os.environ.get("CHAOS_SEED", "0")) or random.randrange(1, 10**6)
    plan = Plan(seed=seed, jobs=40, seconds=22, freeze_seconds=7)
    run(plan, tmp_path, lambda text: sys.stdout.write(f"{text}\n"))
