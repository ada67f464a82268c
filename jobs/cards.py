"""Jobs as the pages show them: everything beside the rows is asked for all of them at once."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from jobs import inputs
from jobs.choices import Status
from jobs.models import Attempt, Job, JobProgress
from jobs.ports import Forecast, Reason, Result, ports
from jobs.stalling import text_of_run

__all__ = ["Card", "cards"]

PLACES_SHOWN = 1_000


@dataclass(frozen=True)
class Card:
    """One job with what a page needs to know of it; `remaining` in seconds."""

    job: Job
    attempt: str = ""
    seq: int = 0
    progress: float = 0.0
    text: str = ""
    remaining: float | None = None
    starts: datetime | None = None
    place: int | None = None
    reason: Reason | None = None
    result: Result | None = None
    # Of a job that waits: how its last attempt ended, and what the next one does differently.
    last_error: str = ""
    measures: Sequence[str] = ()

    @property
    def version(self) -> str:
        """Return what changes when the card has to be drawn anew; progress moves by itself."""
        return f"{self.row_version}-{self.place}-{len(self.thumbnails)}"

    @property
    def row_version(self) -> str:
        """Return `version` without the place, which changes in all rows when one job starts."""
        reason = self.reason.message if self.reason else ""
        return f"{self.job.updated_at.timestamp()}-{zlib.crc32(reason.encode()):x}"

    @property
    def thumbnails(self) -> Sequence[str]:
        return self.result.thumbnail_urls if self.result else ()

    @property
    def size(self) -> tuple[int, int]:
        """Return the size in pixels that was asked for, to keep its place free."""
        params = self.job.generation_params
        width, height = params.get("width"), params.get("height")
        return (
            width if isinstance(width, int) and width > 0 else 512,
            height if isinstance(height, int) and height > 0 else 512,
        )

    @property
    def lacks_input(self) -> bool:
        """Tell whether a file that it is made from is gone, so that it can't be made again."""
        return not inputs.are_there(self.job.generation_params)

    @property
    def took(self) -> float | None:
        """Return the seconds from the start to the end of the last attempt."""
        if self.job.started_at is None or self.job.finished_at is None:
            return None
        return max(0.0, (self.job.finished_at - self.job.started_at).total_seconds())

    @property
    def server(self) -> str:
        """Return the server that has the job, or the one that it is meant for."""
        return self.job.server_alias or self.job.target_server_alias


def cards(jobs: Iterable[Job]) -> list[Card]:
    """Return these jobs as cards, in their order, in a fixed number of queries."""
    rows = list(jobs)
    pending = [job for job in rows if job.status == Status.PENDING]
    running = [job for job in rows if job.status == Status.PROCESSING]
    made = [job for job in rows if job.status == Status.COMPLETED or job.images_made]
    places = Job.objects.places_of(pending, at_most=PLACES_SHOWN) if pending else {}
    reasons = ports.servers.waiting_reasons(pending) if pending else {}
    forecasts = ports.forecast([*pending, *running]) if pending or running else {}
    results = ports.results(made) if made else {}
    progress = _progress(running) if running else {}
    tried = _last_errors(pending) if pending else {}
    relieved = [job for job in pending if job.memory_step]
    measures = ports.servers.measures(relieved) if relieved else {}
    nothing = Forecast()
    return [
        Card(
            job=job,
            **progress.get(job.pk, {}),
            remaining=forecasts.get(job.pk, nothing).remaining_seconds,
            starts=_starts(reasons.get(job.pk), forecasts.get(job.pk, nothing)),
            place=places.get(job.pk),
            reason=reasons.get(job.pk),
            result=results.get(job.pk),
            last_error=tried.get(job.pk, ""),
            measures=measures.get(job.pk, ()),
        )
        for job in rows
    ]


def _last_errors(pending: Sequence[Job]) -> dict[UUID, str]:
    """Return how the last attempt of each job went wrong; nothing of jobs that nobody tried."""
    tries = Attempt.objects.filter(job__in=[job.pk for job in pending], ended_at__isnull=False)
    rows = tries.order_by("job", "number").values_list("job", "error_message")
    return dict(rows)  # the last one of each


def _starts(reason: Reason | None, forecast: Forecast) -> datetime | None:
    return None if reason is not None and reason.lasts else forecast.start


def _progress(running: Sequence[Job]) -> dict[UUID, dict[str, Any]]:
    """Return the open attempt of each job and how far it is; rows of ended attempts don't count."""
    ids = [job.pk for job in running]
    rows = JobProgress.objects.in_bulk(ids)
    found: dict[UUID, dict[str, Any]] = {}
    now = timezone.now()
    for job_id, token in Attempt.objects.open().filter(job__in=ids).values_list("job", "token"):
        found[job_id] = {"attempt": str(token)}
        row = rows.get(job_id)
        if row is not None and row.attempt == token:
            # A lane writes it each second, until it gives up a run that has stalled.
            text = text_of_run(row.text, (now - row.updated_at).total_seconds())
            found[job_id] |= {"seq": row.seq, "progress": row.progress, "text": text}
    return found
