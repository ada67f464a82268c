"""Jobs over REST: v1 for the page and old clients (flat), v2 for programs (enveloped)."""

import contextlib
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from jobs import services
from jobs.api.filters import filter_jobs
from jobs.api.orders import read_order
from jobs.api.serializers import emit_job, emit_jobs
from jobs.models import Job
from jobs.ports import ports
from mobilesd.errors import NotFound
from mobilesd.http.files import VOLATILE, file_answer
from mobilesd.http.paging import PageRequest, paginate
from mobilesd.http.times import rfc3339
from mobilesd.http.views import AnyAccept, ApiView, json_object

__all__ = [
    "CancelV1",
    "CancelV2",
    "GenerateV1",
    "GenerateV2",
    "JobV1",
    "JobV2",
    "JobsV1",
    "JobsV2",
    "Preview",
    "RetryV2",
    "StatusV1",
    "StatusV2",
]

READ = "jobs:read"
WRITE = "jobs:write"


def _page(request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the list's fields and the filters that were used."""
    visible = Job.objects.visible_to(Actor.of_request(request)).listed()
    jobs, used = filter_jobs(visible, request.query_params)
    page = paginate(jobs, PageRequest.read(request.query_params))
    return {**page.counts(), "jobs": emit_jobs(page.rows)}, used


class GenerateV1(ApiView):
    """Submit a job: 202 with its id."""

    required_scopes = {"POST": WRITE}

    def post(self, request: Request) -> Response:
        done = services.submit(read_order(json_object(request)), Actor.of_request(request))
        job_id = str(done.job.pk) if done.job is not None else None
        deleted = {"deleted": True} if done.deleted else {}
        return Response({"mobilesd_job_id": job_id, **deleted}, status=_submitted(done))


class GenerateV2(ApiView):
    """Submit a job: 202 with its place, or 200 with the job of the same idempotency key."""

    required_scopes = {"POST": WRITE}

    def post(self, request: Request) -> Response:
        done = services.submit(read_order(json_object(request)), Actor.of_request(request))
        return Response(_submission(done), status=_submitted(done))


def _submitted(done: services.Submission) -> int:
    return 202 if done.created else 200


def _submission(done: services.Submission) -> dict[str, Any]:
    job = done.job
    if job is None:
        return {"success": True, "mobilesd_job_id": None, "deleted": True, "warnings": []}
    forecast = ports.forecast([job]).get(job.pk) if done.queue_position else None
    return {
        "success": True,
        "mobilesd_job_id": str(job.pk),
        "queue_position": done.queue_position,
        "app_type": job.app_type,
        "creation_timestamp": rfc3339(job.created_at),
        "target_server_alias": job.target_server_alias or None,
        "estimated_start_time": rfc3339(forecast.start) if forecast is not None else None,
        "warnings": list(done.warnings),
        **({"deleted": True} if done.deleted else {}),
    }


class JobsV1(ApiView):
    """List jobs, newest first."""

    required_scopes = {"GET": READ}

    def get(self, request: Request) -> Response:
        fields, _ = _page(request)
        return Response(fields)


class JobsV2(ApiView):
    """List jobs, newest first, and say which filters were understood."""

    required_scopes = {"GET": READ}

    def get(self, request: Request) -> Response:
        fields, used = _page(request)
        return Response({"success": True, "filters": used, **fields})


class StatusV1(ApiView):
    """Show one job."""

    required_scopes = {"GET": READ}

    def get(self, request: Request, job_id: UUID) -> Response:
        return Response(emit_job(services.find(job_id, Actor.of_request(request))))


class StatusV2(ApiView):
    """Show one job."""

    required_scopes = {"GET": READ}

    def get(self, request: Request, job_id: UUID) -> Response:
        job = services.find(job_id, Actor.of_request(request))
        return Response({"success": True, "job": emit_job(job)})


class CancelV1(ApiView):
    """Cancel a job that waits or runs."""

    required_scopes = {"POST": WRITE}

    def post(self, request: Request, job_id: UUID) -> Response:
        job = services.cancel(job_id, Actor.of_request(request))
        return Response({"message": "The job is cancelled.", "job": emit_job(job)})


class CancelV2(ApiView):
    """Cancel a job that waits or runs."""

    required_scopes = {"POST": WRITE}

    def post(self, request: Request, job_id: UUID) -> Response:
        job = services.cancel(job_id, Actor.of_request(request))
        return Response({"success": True, "message": "The job is cancelled.", "job": emit_job(job)})


class RetryV2(ApiView):
    """Queue a failed or cancelled job again."""

    required_scopes = {"POST": WRITE}

    def post(self, request: Request, job_id: UUID) -> Response:
        job = services.retry(job_id, Actor.of_request(request))
        return Response(
            {"success": True, "message": "The job is queued again.", "job": emit_job(job)}
        )


class JobV1(ApiView):
    """Delete a job that waits or has ended."""

    required_scopes = {"DELETE": WRITE}

    def delete(self, request: Request, job_id: UUID) -> Response:
        services.delete(job_id, Actor.of_request(request))
        return Response({"message": "The job is deleted."})


class JobV2(ApiView):
    """Delete a job that waits or has ended."""

    required_scopes = {"DELETE": WRITE}

    def delete(self, request: Request, job_id: UUID) -> Response:
        job = services.delete(job_id, Actor.of_request(request))
        return Response({"success": True, "message": "The job is deleted.", "job": emit_job(job)})


class Preview(ApiView):
    """Show the latest preview of a running job, as the lane wrote it."""

    required_scopes = {"GET": READ}
    content_negotiation_class = AnyAccept

    def get(self, request: Request, job_id: UUID) -> HttpResponseBase:
        job = services.find(job_id, Actor.of_request(request))
        missing = NotFound("This job has no preview now.", error="image_not_found")
        file = _newest_preview(job.pk)
        if file is None:
            raise missing
        try:
            return file_answer(
                request,
                file,
                mime="image/png" if file.suffix == ".png" else "image/jpeg",
                etag=f"{job.pk.hex}-{file.stat().st_mtime_ns:x}",
                filename=file.name,
                cache=VOLATILE,
            )
        except FileNotFoundError:  # the job ended meanwhile
            raise missing from None


def _newest_preview(job_id: UUID) -> Path | None:
    folder = Path(settings.DATA_DIR) / "previews"
    found = []
    for suffix in ("png", "jpg"):
        file = folder / f"{job_id}.{suffix}"
        with contextlib.suppress(FileNotFoundError):
            found.append((file.stat().st_mtime_ns, file))
    return max(found)[1] if found else None
