"""What each kind of thing can say and do about a rule."""

from dataclasses import dataclass
from typing import Protocol

from jobs.models import Retention

__all__ = ["GIGABYTE", "Figure", "Kind"]

GIGABYTE = 10**9


@dataclass(frozen=True)
class Figure:
    """What a rule would delete now."""

    count: int
    bytes: int


class Kind(Protocol):
    """One kind of thing that may be kept for some time only."""

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...

    def figure(self, rule: Retention, *, fresh: bool) -> Figure:
        """Return what the rule would delete; unless `fresh`, by a size of some minutes ago."""

    def apply(self, rule: Retention) -> int:
        """Delete what is beyond the limits, the oldest first; return how many."""
