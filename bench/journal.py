"""What the journal adds to a submission: 8 threads submit with it and without it, in turn."""

import statistics
import threading
import time
from contextlib import nullcontext
from typing import Any

from bench.common import tell_and_exit, verdict
from bench.safety_common import world

THREADS = 8
EACH = 40
ROUNDS = 6
WANTED_MS = 5


def _round(installed: Any, *, told: bool) -> tuple[float, float]:
    """Return submissions a second, and the median milliseconds of one."""
    from django.db import connections

    from jobs import journal

    taken: list[float] = []

    def submit() -> None:
        try:
            with nullcontext() if told else journal.silent():
                for number in range(EACH):
                    began = time.perf_counter()
                    installed.submit(f"a boat {number}")
                    taken.append((time.perf_counter() - began) * 1000)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=submit) for _ in range(THREADS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return THREADS * EACH / (time.perf_counter() - began), statistics.median(taken)


def main() -> None:
    with world() as installed:
        found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
        _round(installed, told=True)  # warm
        for _ in range(ROUNDS):
            for told in (False, True):
                found[told].append(_round(installed, told=told))
        for told, rounds in found.items():
            rate = statistics.median(rate for rate, _ in rounds)
            middle = statistics.median(middle for _, middle in rounds)
            name = "with the journal" if told else "without it"
            print(f"{name:<18} {rate:6.0f} submissions/s, median {middle:6.2f} ms")
        cost = [
            1000 / with_it[0] - 1000 / without[0]
            for with_it, without in zip(found[True], found[False], strict=True)
        ]
        added = statistics.median(cost)
        print(
            f"added: {added:.2f} ms a submission (8 threads)"
            f"   wanted: ≤ {WANTED_MS} ms: {verdict(added <= WANTED_MS)}"
        )


if __name__ == "__main__":
    main()
    tell_and_exit()
