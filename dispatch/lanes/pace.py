"""All waiting times of a lane, in seconds."""

from dataclasses import dataclass

from django.conf import settings

__all__ = ["Pace", "default_pace"]


@dataclass(frozen=True)
class Pace:
    """Times that the protocol names, and how often a lane looks."""

    budget: float = 300.0
    linger: float = 60.0
    poll: float = 0.1
    poll_calm: float = 0.25
    doze: float = 0.02
    recheck: float = 1.0
    # The next job is handed over when the running one has this long to go (PREFETCH_LEAD).
    prefetch_lead: float = 2.0
    # Without any estimate it is handed over after this long of sampling.
    blind_lead: float = 1.0
    # How often a run whose answer can't come is looked for.
    look: float = 0.5
    # Two looks this far apart must both say "gone" (rules 10 and 18).
    gone_gap: float = 3.0
    # A former lane may still hold the answer; it gets this long to store it (rule 12).
    grace: float = 5.0
    # A backend that does not answer at all is given up after this long (rule 4).
    patience: float = 600.0
    # Model loads and VAE decodes show nothing, so this must be long (protocol §5); where a run's
    # duration was learned, several times that is enough, but never less than the floor.
    stall: float = 900.0
    stall_floor: float = 300.0
    stop_check: float = 0.2
    # How often a server that gives way to others is looked at.
    yield_look: float = 10.0
    # A turn that takes longer than this: the process or the machine stood still.
    awake: float = 30.0
    # So long after that a network may not be back yet.
    waking: float = 30.0
    # After a failure of our own database, before it is asked again.
    breath: float = 0.5


def default_pace() -> Pace:
    """Return the times of this installation."""
    return Pace(budget=settings.LANE_SECONDS, linger=settings.LINGER_SECONDS)
