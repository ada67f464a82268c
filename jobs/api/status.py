"""One job over REST."""

from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from jobs import services
from jobs.api.serializers import emit_job
from mobilesd.http.views import ApiView

__all__ = ["StatusV1", "StatusV2"]

READ = "jobs:read"


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
