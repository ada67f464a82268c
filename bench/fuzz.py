"""The long form of tests/documents/test_fuzz.py: `python -m bench.fuzz [SECONDS]`, 600 unless told.

It ends with the report of schemathesis, and fails if any of its checks does.
"""

import sys
import tempfile
from pathlib import Path

from tests.documents.fuzzing import ENV, Fuzz
from tests.processes.installation import Installation

__all__ = ["main"]

EXAMPLES = 200
KEYS_SHARE = 5  # of the time, one part goes to managing keys


def main(seconds: int = 600) -> None:
    """Make up requests for so long, the later ones from what earlier ones answered."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Installation(Path(folder) / "data", env=ENV) as inst,
    ):
        inst.fake("gpu", seconds=0.05)
        inst.create_user("boss", "correct horse")
        phases = "examples,coverage,fuzzing,stateful"
        short = seconds // KEYS_SHARE
        print(Fuzz(inst, seconds - short, EXAMPLES, phases).by_key().text)
        print(Fuzz(inst, short, EXAMPLES, phases).keys("boss", "correct horse").text)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
