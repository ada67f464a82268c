"""Noticing that this machine or process slept, or that its clock was set; pure but for the clocks.

A suspended machine's monotonic clock stands still while its wall clock goes on; of a process that
was stopped, or in a virtual machine that was paused, both went on without it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Jump", "Wakefulness"]

# A clock that is corrected a little is no sleep.
_SLACK_SECONDS = 5.0


@dataclass(frozen=True)
class Jump:
    """Seconds that the wall clock moved without us; negative: it was set back."""

    seconds: float

    @property
    def words(self) -> str:
        """Return what happened, as far as a clock can tell."""
        size = _in_words(abs(self.seconds))
        if self.seconds < 0:
            return f"The clock was set back by {size}."
        return f"This machine slept, stood still or had its clock set: {size} are missing."


class Wakefulness:
    """Asked again and again, at least every `at_most` seconds; tells when that did not happen."""

    def __init__(
        self,
        at_most: float = 30.0,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._at_most = at_most
        self._wall, self._monotonic = wall, monotonic
        self._seen = wall(), monotonic()
        self._woke_at: float | None = None

    def look(self) -> Jump | None:
        """Return what happened since the last look, if it was anything unusual."""
        before_wall, before = self._seen
        self._seen = wall, now = self._wall(), self._monotonic()
        drift = (wall - before_wall) - (now - before)
        if now - before > self._at_most:
            self._woke_at = now
            return Jump(wall - before_wall if drift >= -_SLACK_SECONDS else drift)
        if abs(drift) > _SLACK_SECONDS:
            self._woke_at = now
            return Jump(drift)
        return None

    def woke_within(self, seconds: float) -> bool:
        """Tell whether the last jump is so recent that networks may not be back yet."""
        return self._woke_at is not None and self._monotonic() - self._woke_at < seconds


def _in_words(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
