"""Changing a job over REST: cancel, retry, delete."""

from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from jobs import services
from jobs.api.serializers import emit_job
from mobilesd.http.views import ApiView

__all__ = ["CancelV1", "CancelV2", "JobV1", "JobV2", "RetryV2"]

WRITE = "jobs:write"


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
