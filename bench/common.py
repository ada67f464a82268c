"""What the measurements share: an installation, percentiles, the table that is printed."""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from dispatch.fakes.forge import FakeForge
from tests.processes.installation import Installation

__all__ = [
    "Bounds",
    "Figures",
    "best_of",
    "installation",
    "measure_at_one_server",
    "params",
    "percentile",
    "round_trip",
    "seed",
    "show",
    "tell_and_exit",
    "verdict",
    "wait_until",
]

ROUNDS = 3


@dataclass(frozen=True)
class Figures:
    """One round's samples in ms, and the round trip of GET /status in the same round."""

    samples: Sequence[float]
    status_ms: float

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def p95(self) -> float:
        return percentile(self.samples, 0.95)


@dataclass(frozen=True)
class Bounds:
    """What median and 95th percentile may be at most, in ms; None: nothing is asked of it."""

    median: float | None = None
    p95: float | None = None

    def __str__(self) -> str:
        named = {"median": self.median, "p95": self.p95}
        return ", ".join(f"{name} ≤ {ms:g} ms" for name, ms in named.items() if ms is not None)

    def hold(self, figures: Figures) -> bool:
        """Tell whether both are kept."""
        pairs = ((figures.median, self.median), (figures.p95, self.p95))
        return all(bound is None or found <= bound for found, bound in pairs)


_missed = 0


def verdict(met: bool) -> str:
    """Return "met" or "MISSED", for the end of a line; a miss is remembered (tell_and_exit)."""
    global _missed
    _missed += not met
    return "met" if met else "MISSED"


def tell_and_exit() -> NoReturn:
    """End the program: with 1 if anything was missed."""
    sys.exit(1 if _missed else 0)


def percentile(samples: Sequence[float], part: float) -> float:
    """Return the value that this part of the samples does not exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def best_of(measure: Callable[[], Figures], rounds: int = ROUNDS) -> Figures:
    """Return the round with the lowest median: other programs only ever make it slower."""
    return min((measure() for _ in range(rounds)), key=lambda figures: figures.median)


@contextlib.contextmanager
def installation(**env: str) -> Iterator[Installation]:
    """Start an installation in a folder that is removed afterwards."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Installation(Path(folder) / "data", env=env) as started,
    ):
        yield started


def params(seed: int, steps: int = 20) -> dict[str, Any]:
    """Return the parameters of an ordinary picture."""
    return {
        "positive_prompt": "a lighthouse at dawn, oil on canvas",
        "width": 512,
        "height": 512,
        "steps": steps,
        "cfg_scale": 7,
        "sampler_name": "Euler a",
        "seed": seed,
    }


def round_trip(started: Installation, count: int = 30) -> float:
    """Return the median round trip of GET /status in ms, over one connection."""
    api = started.api
    samples = []
    for _ in range(count):
        began = time.perf_counter()
        api.get("/status")
        samples.append((time.perf_counter() - began) * 1000)
    return statistics.median(samples)


def seed(started: Installation, count: int) -> str:
    """Fill the installation's database with so many jobs; return a key of their maker."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.seed", str(count)],
        env={**os.environ, **started.env},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip().splitlines()[-1]


def measure_at_one_server(
    name: str,
    bounds: Bounds,
    seconds: float,
    begin: Callable[[Installation, FakeForge], Callable[[], Figures]],
) -> NoReturn:
    """Measure in an installation with one fake server, print the best round, and end the program.

    `seconds` is how long a picture takes; `begin` makes ready and returns what measures a round.
    """
    with installation() as started:
        show(name, best_of(begin(started, started.fake("gpu", seconds=seconds))), bounds)
    tell_and_exit()


def wait_until(true: Callable[[], Any], seconds: float) -> None:
    """Wait for something that takes its time; raise TimeoutError."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError("the measured thing did not happen")
        time.sleep(0.05)


def show(name: str, figures: Figures, bounds: Bounds) -> None:
    """Print one line of the table."""
    print(
        f"{name:<44} median {figures.median:8.2f} ms   p95 {figures.p95:8.2f} ms"
        f"   (/status {figures.status_ms:.2f} ms)   wanted: {bounds}:"
        f" {verdict(bounds.hold(figures))}"
    )
