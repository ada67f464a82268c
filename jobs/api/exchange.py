"""The queue as a file over REST."""

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from apikeys.limits import Bucket, charge_jobs
from jobs.exchange import Intake, exported, read_document
from mobilesd.errors import bad_field
from mobilesd.http.views import ApiView, json_object

__all__ = ["ExportV2", "ImportV2"]


class ExportV2(ApiView):
    """Return your waiting jobs as a document."""

    required_scopes = {"GET": "jobs:read"}

    def get(self, request: Request) -> HttpResponse:
        found = exported(Actor.of_request(request))
        answer = HttpResponse(found.content, content_type="application/json")
        answer.headers["Content-Disposition"] = 'attachment; filename="mobilesd-queue.json"'
        return answer


class ImportV2(ApiView):
    """Take in a document of waiting jobs: all of them, or none."""

    required_scopes = {"POST": "jobs:write"}
    rate_bucket = Bucket.SUBMISSIONS

    def post(self, request: Request) -> Response:
        dry_run = _flag(request, "dry_run")
        body = json_object(request)
        jobs = body.get("jobs")
        charge_jobs(request, len(jobs) if isinstance(jobs, list) else 1)
        reading, incoming = read_document(body)
        intake = Intake(Actor.of_request(request))
        taken = intake.take(incoming, reading.batches, dry_run=dry_run)
        return Response(
            {
                "success": True,
                "dry_run": dry_run,
                "made": [str(job.pk) for job in taken.made],
                "already_here": [str(job_id) for job_id in taken.already_here],
                "warnings": [*reading.expired, *taken.warnings],
            }
        )


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise bad_field(name, "must be true or false.")
    return text in ("true", "1")
