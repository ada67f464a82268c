"""Many jobs over three servers for minutes while everything breaks (tests/chaos); seeded.

python -m bench.chaos [SEED] [JOBS] [SECONDS]
"""

import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import Plan, run


def main() -> None:
    given = [int(text) for text in sys.argv[1:]]
    seed, jobs, seconds = [*given, *(random.randrange(1, 10**6), 200, 180)[len(given) :]]
    with tempfile.TemporaryDirectory(prefix="chaos") as folder:
        run(Plan(seed, jobs, seconds, freeze_seconds=30, calm_seconds=600), Path(folder), print)
    print("All of it holds.")


if __name__ == "__main__":
    main()
