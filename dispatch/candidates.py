"""The bridge from rows to the pure scheduler, and back for the reasons that people read."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import Avg, Q
from django.utils import timezone

from dispatch import scheduling
from dispatch.known import inventories
from dispatch.lease import is_fresh, live_count
from dispatch.models import Server, Timing
from jobs.choices import LaneClass, Status
from jobs.models import Attempt, Job, QueueSettings
from jobs.ports import Reason
from mobilesd.rows import Reader

__all__ = [
    "candidates_for",
    "reasons",
    "server_states",
    "to_candidate",
    "work_units",
]

# Enough to find a job with the loaded checkpoint near the head; not a scan of a long queue.
HEAD = 200


def work_units(params: Mapping[str, object]) -> float:
    """Return steps × megapixels × images, with the second pass of hires fix."""

    def number(name: str, default: float) -> float:
        value = params.get(name, default)
        return float(value) if isinstance(value, int | float) else default

    megapixels = number("width", 512) * number("height", 512) / 1e6
    steps = number("steps", 20)
    images = number("batch_size", 1) * number("n_iter", 1)
    units = steps * megapixels
    if params.get("enable_hr"):
        scale = number("hr_scale", 2)
        second = number("hr_second_pass_steps", 0) or steps
        units += second * megapixels * scale * scale
    return max(units * images, 0.01)


def to_candidate(
    job: Job,
    now: datetime,
    since: datetime | None = None,
    switches: QueueSettings | None = None,
) -> scheduling.Candidate:
    """Return what the scheduler needs to know of a pending job.

    It counts as waiting from `since` on: the moment from which other models went first. Counted
    from its submission, a long queue would stop being grouped as soon as all of it is old.
    """
    not_due = ""
    if job.not_before and job.not_before > now:
        not_due = f"It starts at {job.not_before:%Y-%m-%d %H:%M} UTC at the earliest."
    elif job.retry_at and job.retry_at > now:
        seconds = int((job.retry_at - now).total_seconds()) + 1
        not_due = f"It is tried again in {seconds} s."
    return scheduling.Candidate(
        id=job.pk,
        app_type=job.app_type,
        checkpoint=job.checkpoint,
        target=job.target_server_alias,
        rank=(
            0 if job.lane_class == LaneClass.INTERACTIVE else 1,
            job.priority,
            job.position,
            job.pk.hex,
        ),
        waited=max(0.0, (now - max(job.created_at, since or job.created_at)).total_seconds()),
        avoid=frozenset(job.avoid_servers),
        not_due=not_due,
        held=_held(job, switches) if switches else "",
    )


def _held(job: Job, switches: QueueSettings) -> str:
    if switches.paused:
        return "The queue is paused: nothing new starts."
    if job.app_type in switches.paused_app_types:
        return f"The queue is paused for {job.app_type} jobs."
    return ""


_FIELDS = (
    "app_type",
    "checkpoint",
    "target_server_alias",
    "lane_class",
    "priority",
    "position",
    "created_at",
    "avoid_servers",
    "not_before",
    "retry_at",
)


def candidates_for(server: Server, loaded: str) -> list[scheduling.Candidate]:
    """Return the head of the queue for this server, and what is queued for its loaded model."""
    now = timezone.now()
    due = (
        Job.objects.due(now)
        .filter(app_type=server.app_type)
        .filter(Q(target_server_alias="") | Q(target_server_alias=server.alias))
        .only(*_FIELDS)
    )
    jobs = {job.pk: job for job in due[:HEAD]}
    if len(jobs) == HEAD and loaded:
        jobs |= {job.pk: job for job in due.filter(checkpoint=loaded)[:20]}
    return [to_candidate(job, now, server.loaded_since) for job in jobs.values()]


_BY_ALIAS = Reader(Server, "ORDER BY t.alias")


def server_states(
    servers: Sequence[Server] | None = None, *, timed: bool = True
) -> list[scheduling.ServerState]:
    """Return all servers as the scheduler sees them, in a fixed number of queries.

    Without `timed` the learned load times are left out: only a choice needs them.
    """
    rows = list(servers if servers is not None else _BY_ALIAS.all())
    ids = [row.pk for row in rows]
    known = inventories(ids)
    loads = _load_seconds(ids) if timed else {}
    # A single server is compared with no other: two queries less on the way to its GPU.
    several = len(rows) > 1
    free_in = _free_in(rows) if several else {}
    lanes_left = not several or live_count() < _lane_limit()
    return [
        scheduling.ServerState(
            alias=row.alias,
            app_type=row.app_type,
            enabled=row.enabled,
            paused=row.paused,
            healthy=row.is_healthy,
            health_text=row.health_text,
            checkpoints=known[row.pk].checkpoints if row.pk in known else None,
            known_index=known[row.pk].index if row.pk in known else None,
            loaded=row.loaded_checkpoint,
            load_seconds=loads.get(row.pk) or scheduling.DEFAULT_LOAD_SECONDS,
            free_in=free_in.get(row.alias, 0.0),
            busy=row.alias in free_in,
            has_lane=lanes_left or is_fresh(row),
        )
        for row in rows
    ]


def _load_seconds(server_ids: Sequence[int]) -> Mapping[int, float]:
    rows = Timing.objects.filter(server__in=server_ids, loads__gt=0)
    return {
        row["server"]: row["seconds"]
        for row in rows.values("server").annotate(seconds=Avg("load_seconds"))
    }


def _lane_limit() -> int:
    from django.conf import settings

    return max(settings.LANES, Server.objects.filter(enabled=True).count())


def _free_in(servers: Sequence[Server]) -> dict[str, float]:
    """Return the expected seconds until each busy server is free."""
    now = timezone.now()
    by_alias = {server.alias: server for server in servers}
    left: dict[str, float] = {}
    open_attempts = (
        Attempt.objects.open()
        .filter(server_alias__in=by_alias, job__status=Status.PROCESSING)
        .select_related("job", "job__progress_row")
    )
    for attempt in open_attempts:
        progress = getattr(attempt.job, "progress_row", None)
        if progress is not None and progress.eta_seconds is not None:
            seconds = max(0.0, progress.eta_seconds - (now - progress.updated_at).total_seconds())
        else:
            seconds = 10.0
        left[attempt.server_alias] = left.get(attempt.server_alias, 0.0) + seconds
    return left


def reasons(jobs: Sequence[Job]) -> dict[UUID, Reason]:
    """Return why each of these pending jobs waits, from the code that decides it."""
    now = timezone.now()
    states = server_states(timed=False)
    switches = QueueSettings.current()
    return {
        job.pk: scheduling.why_waiting(to_candidate(job, now, switches=switches), states)
        for job in jobs
    }
