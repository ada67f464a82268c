"""Run all measurements: `make bench`, or some by name: `make bench ARGS="gap two_servers"`.

Each in a process of its own: what one has loaded would count in the next one's memory. Ends with 1
if anything was missed, or could not be measured.
"""

import subprocess
import sys

__all__ = ["MEASUREMENTS"]

MEASUREMENTS = (
    *("limits", "simulation", "journal", "gap", "submit", "claim", "drag", "progress", "rate"),
    *("streams", "listing", "queue_page", "memory", "two_servers", "recovery", "fifty"),
    "extension_start",
)


def main(names: tuple[str, ...]) -> int:
    """Run these; return the exit code."""
    if unknown := [name for name in names if name not in MEASUREMENTS]:
        print(f"There is no measurement {unknown[0]!r}. There are: {', '.join(MEASUREMENTS)}.")
        return 2
    bad = []
    for name in names or MEASUREMENTS:
        print(f"--- {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode:
            bad.append(name)
    print(f"missed: {', '.join(bad)}" if bad else "all met")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:])))
