"""What a finished run tells of its server: how quick it is, and what it has loaded."""

from dispatch import standing
from dispatch.dispatchers.base import Answer
from dispatch.lanes.run import Run
from dispatch.lease import Lease
from jobs.models import Attempt

__all__ = ["learn"]


def learn(lease: Lease, run: Run, answer: Answer, ended: float) -> None:
    """Note a run whose pictures are stored; `ended` is when its answer came (monotonic)."""
    with lease.fenced():
        version = str(answer.generation_info.get("version") or "")
        standing.note_success(lease.server_id, answer.checkpoint, version)
        if run.active_since is None or run.adopted:
            return  # it may have ended long before somebody asked for it
        Attempt.objects.filter(token=run.token).update(**run.phases())
        if not run.uses_model:
            seconds = (ended - run.active_since) / run.units
            standing.learn_run(lease.server_id, run.upscaler, run.job.kind, seconds)
            return
        name = answer.checkpoint
        sampling = run.sampling_since or run.active_since
        # The load is what passes between begin and first step; a plain run has none.
        before = sampling - run.active_since
        if run.loads_model and run.sampling_since is not None:
            standing.learn_load(lease.server_id, name, before)
            before = 0.0
        standing.learn_run(
            lease.server_id,
            name,
            run.job.kind,
            (ended - sampling) / run.units,
            before / run.units,
        )
