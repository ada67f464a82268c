"""What nobody follows any more, settled before the next claim (protocol rules 6 to 10)."""

from collections.abc import Collection
from uuid import UUID

from dispatch.lanes.outcomes import Settler
from dispatch.lanes.run import Run
from dispatch.lease import Lease
from jobs import transitions
from jobs.models import Attempt

__all__ = ["adopt_all"]


def adopt_all(
    lease: Lease, alias: str, settler: Settler, *, followed: Collection[UUID] = ()
) -> list[Run]:
    """Take over every attempt that the backend may still have; return them as orphans.

    One that was never sent needs no look-up: its job is queued again at once. `followed` are the
    tokens of the runs that this lane has in hand: all others are left, be it by a former lane or
    by this one, whose database failed it in the middle of a claim.
    """
    orphans: list[Run] = []
    uncleared = Attempt.objects.uncleared(alias).exclude(token__in=followed)
    for attempt in uncleared.select_related("job").order_by("created_at"):
        if attempt.submitted_at is None:
            _settle_unsent(lease, settler, attempt)
            continue
        if attempt.ended_at is None:
            with lease.fenced():
                transitions.adopt(attempt.token, old_lane=attempt.lane, lane=lease.token)
            attempt.refresh_from_db()  # how often it was taken over, or its end meanwhile: a cancel
        run = Run(attempt, orphan=True, adopted=True)
        run.handed_over = bool(orphans)
        orphans.append(run)
    return orphans


def _settle_unsent(lease: Lease, settler: Settler, attempt: Attempt) -> None:
    if attempt.ended_at is None:
        settler.unsent(attempt)
    with lease.fenced():
        transitions.clear(attempt.token)
