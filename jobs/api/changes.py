"""Changing a job over REST: cancel, retry, move, patch, delete."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from jobs import services
from jobs.api.orders import kind_of, read_patch
from jobs.api.serializers import emit_job
from mobilesd.errors import InvalidInput, bad_field
from mobilesd.http.views import ApiView, json_object

__all__ = ["CancelV1", "CancelV2", "JobV1", "JobV2", "MoveV2", "RetryV2"]

WRITE = "jobs:write"
_GOALS = ("before", "after", "to")


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


class MoveV2(ApiView):
    """Move a waiting job: `{"before": id}`, `{"after": id}`, or `{"to": "top"}` or "bottom".

    `top` and `bottom` are those of its priority. Next to a job of another priority or lane it
    takes these over. Members move their own jobs among each other; staff move them anywhere.
    """

    required_scopes = {"POST": WRITE}

    def post(self, request: Request, job_id: UUID) -> Response:
        actor = Actor.of_request(request)
        services.find(job_id, actor)  # what is not there comes before what is wrong with a body
        job = services.move(job_id, _read_goal(json_object(request)), actor)
        return Response({"success": True, "message": "The job is moved.", "job": emit_job(job)})


def _read_goal(body: Mapping[str, Any]) -> services.Goal:
    for name in body:
        if name not in _GOALS:
            raise bad_field(
                name[:60], "is not a field of this request.", error="unsupported_parameter"
            )
    if len(body) != 1:
        raise InvalidInput(
            "Say where the job is to go, in one way.",
            error="job_operation_invalid" if body else "missing_required_field",
            hint='Send one of {"before": id}, {"after": id}, {"to": "top"}, {"to": "bottom"}.',
            fields={"to": ["One of before, after and to is needed."]},
        )
    [(name, value)] = body.items()
    if name == "to":
        if value not in ("top", "bottom"):
            raise bad_field("to", "must be top or bottom.")
        return services.Goal(value)
    try:
        neighbour = UUID(value) if isinstance(value, str) else None
    except ValueError:
        neighbour = None
    if neighbour is None:
        raise bad_field(name, f"must be the id of a job, not {kind_of(value)}.")
    return services.Goal("before" if name == "before" else "after", neighbour)


class JobV1(ApiView):
    """Delete a job that waits or has ended."""

    required_scopes = {"DELETE": WRITE}

    def delete(self, request: Request, job_id: UUID) -> Response:
        services.delete(job_id, Actor.of_request(request))
        return Response({"message": "The job is deleted."})


class JobV2(ApiView):
    """Change a job that waits, or delete one that waits or has ended.

    PATCH keeps what it does not name; in generation_params null removes a parameter.
    """

    required_scopes = {"DELETE": WRITE, "PATCH": WRITE}

    def patch(self, request: Request, job_id: UUID) -> Response:
        actor = Actor.of_request(request)
        services.find(job_id, actor)
        given = json_object(request)
        # Without its nulls, of which this one has a meaning.
        if "target_server_alias" in request.data:
            given.setdefault("target_server_alias", None)
        changes, params = read_patch(given)
        job = services.patch(job_id, actor, changes, params)
        return Response({"success": True, "message": "The job is changed.", "job": emit_job(job)})

    def delete(self, request: Request, job_id: UUID) -> Response:
        job = services.delete(job_id, Actor.of_request(request))
        return Response({"success": True, "message": "The job is deleted.", "job": emit_job(job)})
