"""Jobs as the contract emits them (contracts/api.md, "Job, as emitted").

A page of jobs costs the same few queries as one job: everything beside the rows themselves is
asked for all jobs at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from jobs import chains
from jobs.choices import Status
from jobs.models import Job, JobProgress
from jobs.ports import Forecast, Reason, Result, ports
from mobilesd.http.times import rfc3339

__all__ = ["POSITIONS_SHOWN", "emit_job", "emit_jobs"]

POSITIONS_SHOWN = 1_000


def emit_job(job: Job) -> dict[str, Any]:
    """Return one job as the contract emits it."""
    return emit_jobs([job])[0]


def emit_jobs(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Return these jobs as the contract emits them, in a fixed number of queries."""
    pending = [job for job in jobs if job.status == Status.PENDING]
    running = [job for job in jobs if job.status == Status.PROCESSING]
    made = [job for job in jobs if job.status == Status.COMPLETED or job.images_made]
    positions = _positions(pending) if pending else {}
    reasons = ports.servers.waiting_reasons(pending) if pending else {}
    progress = JobProgress.objects.in_bulk([job.pk for job in running]) if running else {}
    forecasts = ports.forecast([*pending, *running]) if pending or running else {}
    results = ports.results(made) if made else {}
    needs = chains.dependencies_of(jobs) if jobs else {}
    return [
        {
            **_fixed(job),
            "depends_on": [need["job"] for need in needs.get(job.pk, ())],
            "dependencies": list(needs.get(job.pk, ())),
            **_queue(positions.get(job.pk), reasons.get(job.pk)),
            **_progress(job, progress.get(job.pk), forecasts.get(job.pk), reasons.get(job.pk)),
            "error": _error(job),
            "result_details": _result(job, results.get(job.pk, Result())),
        }
        for job in jobs
    ]


def _positions(pending: Sequence[Job]) -> Mapping[UUID, int]:
    if len(pending) == 1:  # counting reads fewer rows than listing
        place = Job.objects.place_of(pending[0], at_most=POSITIONS_SHOWN)
        return {pending[0].pk: place} if place is not None else {}
    return Job.objects.places_of(pending, at_most=POSITIONS_SHOWN)


def _fixed(job: Job) -> dict[str, Any]:
    return {
        "mobilesd_job_id": str(job.pk),
        "status": job.status,
        "app_type": job.app_type,
        "kind": job.kind,
        "source_info": job.source_info or None,
        "api_key_id": job.api_key_id,
        "target_server_alias": job.target_server_alias or None,
        "server_alias": job.server_alias or None,
        "generation_params": job.generation_params,
        "warnings": job.warnings,
        "priority": job.priority,
        "lane": job.lane_class,
        "not_before": rfc3339(job.not_before),
        "deadline": rfc3339(job.deadline),
        "retry_count": job.attempts_made if not job.is_final else max(0, job.attempts_made - 1),
        "batch_id": str(job.batch_id) if job.batch_id else None,
        "creation_timestamp": rfc3339(job.created_at),
        "last_updated_timestamp": rfc3339(job.updated_at),
        "started_timestamp": rfc3339(job.started_at),
        "completion_timestamp": rfc3339(job.finished_at),
        "forge_session_hash": None,
    }


def _queue(place: int | None, reason: Reason | None) -> dict[str, Any]:
    shown: dict[str, Any] | None = None
    if reason is not None:
        shown = {
            "code": reason.code,
            "message": reason.message,
            "action": reason.action,
            "buttons": [asdict(button) for button in reason.buttons],
        }
    return {"queue_position": place, "waiting_reason": shown}


def _progress(
    job: Job, row: JobProgress | None, forecast: Forecast | None, reason: Reason | None
) -> dict[str, Any]:
    done = 1.0 if job.status == Status.COMPLETED else 1 - job.part_left
    if row is not None:
        done = row.progress
    remaining = forecast.remaining_seconds if forecast is not None else None
    begins = forecast is not None and not (reason is not None and reason.lasts)
    return {
        "progress": round(done, 4),
        "progress_text": row.text if row is not None else "",
        "estimated_time_remaining": round(remaining, 1) if remaining is not None else None,
        "estimated_start_time": rfc3339(forecast.start) if forecast and begins else None,
    }


def _error(job: Job) -> dict[str, str] | None:
    if not job.error_code:
        return None
    return {"code": job.error_code, "message": job.error_message, "hint": job.error_hint}


def _result(job: Job, result: Result) -> dict[str, Any] | None:
    if job.status != Status.COMPLETED and not job.images_made:
        return None
    info = job.generation_info or {}
    infotexts = info.get("infotexts")
    return {
        "images": list(result.file_names),
        "image_ids": list(result.image_ids),
        "image_urls": list(result.urls),
        "thumbnail_urls": list(result.thumbnail_urls),
        "generation_info": info,
        "warnings": job.warnings,
        "info": str(infotexts[0]) if isinstance(infotexts, list) and infotexts else "",
    }
