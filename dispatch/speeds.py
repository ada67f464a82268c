"""How fast a server is with what it never ran: by what it and the others of its kind have learned.

Pure. Speeds are seconds for a unit of work, by kind of job and checkpoint.
"""

from collections.abc import Mapping, Sequence
from math import exp, log
from statistics import fmean

from jobs.choices import Kind

__all__ = ["Speeds", "by_checkpoint", "filled"]

Speeds = Mapping[tuple[str, str], float]


def filled(own: Speeds, others: Sequence[Speeds]) -> dict[tuple[str, str], float]:
    """Return a server's speeds, and of what only others ran theirs, as far as they compare.

    Another server's is scaled by how the two compare in what both ran. One that never made a
    picture is taken to be like the others. An upscaler that nobody ran ("") is their mean.
    """
    known = dict(own)
    for key in {key for other in others for key in other} - own.keys():
        told = [
            other[key] * ratio
            for other in others
            if key in other and (ratio := _ratio(own, other)) is not None
        ]
        if told:
            known[key] = fmean(told)
    upscales = [seconds for (kind, _), seconds in known.items() if kind == Kind.UPSCALE]
    if upscales:
        known[Kind.UPSCALE, ""] = fmean(upscales)
    return known


def _ratio(own: Speeds, other: Speeds) -> float | None:
    """Return how many times as long the first one takes; None if nothing tells."""
    if shared := own.keys() & other.keys():
        return exp(fmean(log(own[key] / other[key]) for key in shared))
    return None if by_checkpoint(own) else 1.0


def by_checkpoint(speeds: Speeds) -> dict[str, float]:
    """Return the speed with each checkpoint for a kind that was never made: the mean of others."""
    by_name: dict[str, list[float]] = {}
    for (kind, name), seconds in speeds.items():
        if kind != Kind.UPSCALE:
            by_name.setdefault(name, []).append(seconds)
    return {name: fmean(every) for name, every in by_name.items()}
