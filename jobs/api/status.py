"""One job over REST."""

from uuid import UUID

from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from jobs.api.shown import shown
from jobs.api.waiting import v2_body, wait_for_change, wait_seconds
from mobilesd.http.conditional import asks_for_changes, still_has, tag, unchanged
from mobilesd.http.views import ApiView

__all__ = ["StatusV1", "StatusV2"]

READ = "jobs:read"


class StatusV1(ApiView):
    """Show one job."""

    required_scopes = {"GET": READ}

    def get(self, request: Request, job_id: UUID) -> HttpResponseBase:
        _, seen = shown(job_id, Actor.of_request(request))
        if still_has(request, seen.etag):
            return unchanged(seen.etag)
        response: Response = tag(Response(seen.emitted), seen.etag)
        return response


class StatusV2(ApiView):
    """Show one job, at once or when it has changed.

    With `wait` it is shown when it is not any more what `If-None-Match` names, or what it was when
    the request came; after `wait` seconds in any case. A job that has ended is shown at once,
    except to a client that has it as it is.
    """

    required_scopes = {"GET": READ}

    def get(self, request: Request, job_id: UUID) -> HttpResponseBase:
        seconds = wait_seconds(request)
        job, seen = shown(job_id, Actor.of_request(request))
        has_it = still_has(request, seen.etag)
        waits = has_it or not (job.is_final or asks_for_changes(request))
        if seconds and waits:
            return wait_for_change(request, job_id, etag=seen.etag, seconds=seconds)
        if has_it:
            return unchanged(seen.etag)
        response: Response = tag(Response(v2_body(seen.emitted)), seen.etag)
        return response
