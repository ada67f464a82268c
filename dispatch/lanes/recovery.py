"""What a former lane left behind, settled before the first claim (protocol rules 6 to 10)."""

from dispatch.lanes.outcomes import Settler
from dispatch.lanes.run import Run
from dispatch.lease import Lease
from jobs import transitions
from jobs.models import Attempt

__all__ = ["adopt_all"]


def adopt_all(lease: Lease, alias: str, settler: Settler) -> list[Run]:
    """Take over every attempt that the backend may still have; return them as orphans.

    One that was never sent needs no look-up: its job is queued again at once.
    """
    orphans = []
    uncleared = Attempt.objects.uncleared(alias).exclude(lane=lease.token)
    for attempt in uncleared.select_related("job").order_by("created_at"):
        if attempt.submitted_at is None:
            _settle_unsent(lease, settler, attempt)
            continue
        with lease.fenced():
            if attempt.ended_at is None and not transitions.adopt(
                attempt.token, old_lane=attempt.lane, lane=lease.token
            ):
                attempt.refresh_from_db()  # ended meanwhile: a cancel
        orphans.append(Run(attempt, orphan=True, adopted=True))
    return orphans


def _settle_unsent(lease: Lease, settler: Settler, attempt: Attempt) -> None:
    if attempt.ended_at is None:
        settler.unsent(attempt)
    with lease.fenced():
        transitions.clear(attempt.token)
