"""When the queue is expected to be empty, from what the servers were seen to do."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.utils import timezone

from dispatch import candidates, scheduling
from dispatch.models import Timing
from jobs.choices import Status
from jobs.models import Attempt, Job, QueueSettings

__all__ = ["queue_finish"]

# Beyond that, jobs that nobody has submitted yet decide more than these.
_LOOKED_AT = 1_000

# (alias, checkpoint) -> seconds of one unit of work
_Speeds = Mapping[tuple[str, str], float]


def queue_finish() -> datetime | None:
    """Return when the last job that waits or runs now should end; None if that can't be said.

    It is said only where each job can run on a server that has run its checkpoint before, and
    nothing but these servers holds it back. Model loads count as they were measured.
    """
    waiting = list(Job.objects.queued()[: _LOOKED_AT + 1])
    busy = _busy_seconds()
    if busy is None or len(waiting) > _LOOKED_AT or not (waiting or busy):
        return None
    states = candidates.server_states()
    ends = {state.alias: busy.get(state.alias, 0.0) for state in states}
    if not _assign(waiting, states, ends):
        return None
    return timezone.now() + timedelta(seconds=max([*ends.values(), *busy.values()]))


def _busy_seconds() -> dict[str, float] | None:
    """Return how long each busy server still needs; None if one of them can't say."""
    now = timezone.now()
    left: dict[str, float] = {}
    running = (
        Attempt.objects.open()
        .filter(job__status=Status.PROCESSING)
        .select_related("job__progress_row")
    )
    for attempt in running:
        progress = getattr(attempt.job, "progress_row", None)
        if progress is None or progress.eta_seconds is None:
            return None
        seconds = progress.eta_seconds - (now - progress.updated_at).total_seconds()
        left[attempt.server_alias] = left.get(attempt.server_alias, 0.0) + max(0.0, seconds)
    return left


def _assign(
    waiting: Sequence[Job], states: Sequence[scheduling.ServerState], ends: dict[str, float]
) -> bool:
    """Give each job to the server that would end it first; tell whether all could be given."""
    now, speeds, switches = timezone.now(), _speeds(), QueueSettings.current()
    loaded = {state.alias: state.loaded for state in states}
    for job in waiting:
        candidate = candidates.to_candidate(job, now, switches=switches)
        units = candidates.work_units(job.generation_params)
        best: tuple[float, str, str] | None = None
        for state in states:
            if scheduling.hindrance(candidate, state) is not None:
                continue
            known = state.index.find(job.checkpoint) if job.checkpoint else None
            name = known.name if known else job.checkpoint or loaded[state.alias]
            speed = speeds.get((state.alias, name))
            if speed is None:
                continue
            load = state.load_seconds if name != loaded[state.alias] else 0.0
            end = ends[state.alias] + units * speed + load
            best = min(best or (end, state.alias, name), (end, state.alias, name))
        if best is None:
            return False
        ends[best[1]], loaded[best[1]] = best[0], best[2]
    return True


def _speeds() -> _Speeds:
    rows = Timing.objects.filter(runs__gt=0).values_list(
        "server__alias", "checkpoint", "unit_seconds"
    )
    return {(alias, checkpoint): seconds for alias, checkpoint, seconds in rows}
