"""What follows from each class of error, in one table: pure (design §6)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from random import uniform

from dispatch.dispatchers.base import ErrorClass

__all__ = ["RULES", "Rule", "Then", "backoff_seconds", "stall_seconds"]

FIRST_SECONDS = 5.0
GROWTH = 4.0
LONGEST_SECONDS = 600.0
SPREAD = 0.2

# A run that shows nothing for so many times its expected duration hangs.
STALL_FACTOR = 5.0


class Then(Enum):
    """What becomes of the job."""

    FAIL = "it fails now"
    BACK_OFF = "it is tried again later, as often as it may be"
    AT_ONCE = "it is queued again at once"
    ELSEWHERE = "another server takes it, or it fails"
    LADDER = "it is made again with less memory"


@dataclass(frozen=True)
class Rule:
    """`counts`: as one of the job's attempts; `blames_server`: as one of its failures in a row."""

    then: Then
    counts: bool = True
    blames_server: bool = False


RULES: Mapping[ErrorClass, Rule] = {
    ErrorClass.PERMANENT: Rule(Then.FAIL),
    ErrorClass.TRANSIENT: Rule(Then.BACK_OFF, blames_server=True),
    ErrorClass.STALLED: Rule(Then.BACK_OFF, blames_server=True),
    ErrorClass.ELSEWHERE: Rule(Then.ELSEWHERE),
    # Each step and each server is tried once, so that the ladder ends by itself: three counted
    # attempts would end it before the last of them.
    ErrorClass.OUT_OF_MEMORY: Rule(Then.LADDER, counts=False),
    # The server is to blame, and is mended before the next job.
    ErrorClass.POISONED: Rule(Then.AT_ONCE, counts=False),
    # Our own disk: no server and no job is to blame, but a job must not go round for ever.
    ErrorClass.OURS: Rule(Then.BACK_OFF),
}


def backoff_seconds(made: int, spread: Callable[[float, float], float] = uniform) -> float:
    """Return how long to wait after so many attempts: 5 s, 20 s, 80 s … at most ten minutes.

    Spread by a fifth, so that jobs that failed together do not come back together.
    """
    doubled = FIRST_SECONDS * GROWTH ** (min(max(made, 1), 10) - 1)
    return min(doubled, LONGEST_SECONDS) * spread(1 - SPREAD, 1 + SPREAD)


def stall_seconds(expected: float | None, *, longest: float, floor: float) -> float:
    """Return after how many seconds without a sign a run counts as stalled.

    From what was learned of this server and model, between the floor and `longest`; without
    any knowledge `longest`.
    """
    if expected is None:
        return longest
    return min(max(floor, STALL_FACTOR * expected), longest)
