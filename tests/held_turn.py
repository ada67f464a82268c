"""Writes that come while somebody else writes, so that one transaction takes them all."""

from collections.abc import Sequence
from threading import Thread

from mobilesd import commits
from mobilesd.sqlite import write_turn
from tests.processes.installation import eventually

__all__ = ["hand_in"]


def hand_in(threads: Sequence[Thread]) -> None:
    """Start these one after the other, each once the write of the one before waits; join them."""
    with write_turn():
        for number, thread in enumerate(threads, start=1):
            thread.start()
            eventually(lambda number=number: len(commits._queue) == number)
    for thread in threads:
        thread.join(10)
