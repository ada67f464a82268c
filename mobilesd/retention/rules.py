"""The rules that people made, and what comes of them."""

from jobs.models import Retention
from mobilesd.retention.figures import Figure, Kind
from mobilesd.retention.kinds import KINDS

__all__ = ["KINDS", "apply", "apply_active", "figure", "rules"]


def rules() -> list[tuple[Kind, Retention]]:
    """Return each kind with its rule; one that was never set is off."""
    there = Retention.objects.in_bulk()
    return [(kind, there.get(name) or Retention(kind=name)) for name, kind in KINDS.items()]


def figure(rule: Retention, *, fresh: bool = True) -> Figure:
    """Return what the rule would delete now, switched on or not.

    Unless `fresh`, the size of a table may be that of some minutes ago.
    """
    return KINDS[rule.kind].figure(rule, fresh=fresh)


def apply(rule: Retention) -> int:
    """Delete what is beyond the limits, oldest first, in short transactions; return how many."""
    return KINDS[rule.kind].apply(rule)


def apply_active() -> None:
    """Apply the rules that are switched on; part of the housekeeping."""
    for _, rule in rules():
        if rule.is_active:
            apply(rule)
