"""A wall clock that is wrong by the same seconds in all processes of a test.

How far it is off stands in a small file, so that lanes that run already see each jump at once.
What measures time (the monotonic clock) is left alone, as it is when somebody sets a clock.
"""

import mmap
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

__all__ = ["ShiftedClock"]


class ShiftedClock:
    """Reads and writes the file; make it before the processes that share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_bytes(struct.pack("d", 0.0))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 8)
        self._real = time.time

    @property
    def seconds(self) -> float:
        """How far it is ahead of the real one."""
        return float(struct.unpack("d", self._shared[:8])[0])

    def set(self, seconds: float) -> None:
        """Let every process be so many seconds ahead, or behind."""
        self._shared[:8] = struct.pack("d", seconds)

    def time(self) -> float:
        return self._real() + self.seconds

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.seconds)

    def install(self, patch: Callable[[str, Any], Any]) -> None:
        """Put it in the place of this process's wall clock."""
        patch("django.utils.timezone.now", self.now)
        patch("time.time", self.time)
