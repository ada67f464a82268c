"""What the Forge extension adds to Forge's start: its import, its settings, its part of the page.

Forge's stand-in with Gradio 4.40 (`make .venv/gradio/ready`) starts with it and without it, in
turns. CPU time of the main thread, which other programs on the machine hardly change.
"""

import statistics
import tempfile
from pathlib import Path

from bench.common import tell_and_exit, verdict
from tests.extension_forge.page.stand_in import StandIn

ROUNDS = 5
MOST_SECONDS = 0.2


def spent(*, with_extension: bool) -> dict[str, float]:
    """Start once; return the seconds of each part of the start."""
    with tempfile.TemporaryDirectory() as folder:
        stand_in = StandIn(Path(folder), with_extension=with_extension, recording=False)
        with stand_in as started:
            return started.spent


def main() -> None:
    rounds = [(spent(with_extension=True), spent(with_extension=False)) for _ in range(ROUNDS)]
    added = {
        part: statistics.median(ours[part] - plain[part] for ours, plain in rounds)
        for part in rounds[0][0]
    }
    for part, seconds in added.items():
        print(f"  {part:6} {seconds * 1000:6.1f} ms")
    total = sum(added.values())
    print(
        f"Start of Forge, CPU time that the extension adds: {total * 1000:.0f} ms"
        f" (wanted < {MOST_SECONDS * 1000:.0f} ms): {verdict(total < MOST_SECONDS)}"
    )


if __name__ == "__main__":
    main()
    tell_and_exit()
