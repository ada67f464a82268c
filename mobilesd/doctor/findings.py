"""What a look at one thing found."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Level", "Look", "fail", "ok", "warn"]


class Level(StrEnum):
    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """One line of the report; `todo` is what to do, and `repair` does it where that is safe.

    `repair` returns what it did, as a sentence.
    """

    level: Level
    text: str
    todo: str = ""
    repair: Callable[[], str] | None = None


# A look yields its findings; what it raises is reported as a failure of the look itself.
Look = Callable[[], Iterable[Finding]]


def ok(text: str) -> Finding:
    """Return a finding that needs nothing."""
    return Finding(Level.OK, text)


def warn(text: str, todo: str, repair: Callable[[], str] | None = None) -> Finding:
    """Return a finding that MobileSD can live with."""
    return Finding(Level.WARN, text, todo, repair)


def fail(text: str, todo: str, repair: Callable[[], str] | None = None) -> Finding:
    """Return a finding that keeps MobileSD from its work."""
    return Finding(Level.FAIL, text, todo, repair)
