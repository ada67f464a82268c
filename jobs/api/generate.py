"""Submitting over REST."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from apikeys.limits import Bucket
from apikeys.middleware import tell_source
from jobs import services
from jobs.api.orders import read_order
from jobs.ports import ports
from mobilesd.http.extension_version import check_source
from mobilesd.http.times import rfc3339
from mobilesd.http.views import ApiView, json_object

__all__ = ["GenerateV1", "GenerateV2", "submission", "submitted"]

WRITE = "jobs:write"


class GenerateV1(ApiView):
    """Submit a job: 202 with its id."""

    required_scopes = {"POST": WRITE}
    rate_bucket = Bucket.SUBMISSIONS

    def post(self, request: Request) -> Response:
        order = read_order(json_object(request))
        tell_source(request, order.source_info)
        check_source(request, order.source_info)
        done = services.submit(order, Actor.of_request(request))
        job_id = str(done.job.pk) if done.job is not None else None
        deleted = {"deleted": True} if done.deleted else {}
        return Response({"mobilesd_job_id": job_id, **deleted}, status=submitted(done))


class GenerateV2(ApiView):
    """Submit a job: 202 with its place, or 200 with the job of the same idempotency key."""

    required_scopes = {"POST": WRITE}
    rate_bucket = Bucket.SUBMISSIONS

    def post(self, request: Request) -> Response:
        order = read_order(json_object(request))
        tell_source(request, order.source_info)
        check_source(request, order.source_info)
        done = services.submit(order, Actor.of_request(request))
        return Response(submission(done), status=submitted(done))


def submitted(done: services.Submission) -> int:
    """Return the status of the answer: 202, or 200 for a repeat."""
    return 202 if done.created else 200


def submission(done: services.Submission) -> dict[str, Any]:
    """Return the body of the answer to a submission."""
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
