"""When a child that ended is started again, and when that is trouble (design §2)."""

from collections import deque

__all__ = ["Restarts"]

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 30.0
# So many deaths within this time are trouble; a life as long as this is health.
DEATHS = 5
WITHIN_SECONDS = 60.0


class Restarts:
    """The deaths of one child; times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._in_a_row = 0

    def delay(self, now: float, lived: float) -> float:
        """Record a death and return how long to wait before the next start: 1..30 s."""
        self._in_a_row = 1 if lived >= WITHIN_SECONDS else self._in_a_row + 1
        self._deaths.append(now)
        return float(min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** (self._in_a_row - 1)))

    @property
    def too_many(self) -> bool:
        """Tell whether the last five deaths came within a minute of each other."""
        return len(self._deaths) == DEATHS and self._deaths[-1] - self._deaths[0] <= WITHIN_SECONDS
