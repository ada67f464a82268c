"""Lists of jobs over REST: v1 flat, v2 enveloped."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from jobs.api.filters import read_filter
from jobs.api.serializers import emit_jobs
from mobilesd.http.paging import PageRequest
from mobilesd.http.views import ApiView

__all__ = ["JobsV1", "JobsV2"]

READ = "jobs:read"


def _page(request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the list's fields and the filters that were used."""
    asked = read_filter(request.query_params, Actor.of_request(request))
    page = asked.page(PageRequest.read(request.query_params))
    return {**page.counts(), "jobs": emit_jobs(page.rows)}, asked.used


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
