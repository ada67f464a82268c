"""Changing a job over REST: cancel, retry, duplicate, move, patch, delete."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from apikeys.limits import Bucket, charge_jobs
from jobs import services
from jobs.api.generate import submission, submitted
from jobs.api.orders import kind_of, read_patch
from jobs.api.serializers import emit_job
from jobs.api.status import StatusV2
from jobs.services import undo
from jobs.services.changes import NewTimes, Seed
from jobs.services.places import ENDS
from mobilesd.errors import InvalidInput, bad_field
from mobilesd.http.times import read_moment
from mobilesd.http.views import ApiView, json_object

__all__ = [
    "CancelV1",
    "CancelV2",
    "DuplicateV2",
    "JobV1",
    "JobV2",
    "MoveV2",
    "RetryV2",
    "TryNowV2",
    "read_dry_run",
    "read_goal",
]

WRITE = "jobs:write"
_GOALS = ("before", "after", "to")


class CancelV1(ApiView):
    """Cancel a job that waits or runs."""

    required_scopes = {"POST": WRITE}

    def post(self, request: Request, job_id: UUID) -> Response:
        done = services.cancel(job_id, Actor.of_request(request))
        return Response({"message": "The job is cancelled.", "job": emit_job(done.job)})


class CancelV2(ApiView):
    """Cancel a job that waits or runs; `also` names the jobs that fail with it.

    With `?dry_run=1` nothing is changed, and `also` names those that would.
    """

    required_scopes = {"POST": WRITE}

    def post(self, request: Request, job_id: UUID) -> Response:
        actor = Actor.of_request(request)
        job = services.find(job_id, actor)
        also = services.also_taken([job_id], actor)
        if read_dry_run(request):
            return _gone("Nothing is changed.", services.Changed(job, None), also)
        return _gone("The job is cancelled.", services.cancel(job_id, actor), also)


def read_dry_run(request: Request) -> bool:
    """Read `?dry_run=1`: say what would be, and change nothing. Raises InvalidInput."""
    text = request.query_params.get("dry_run", "false").lower()
    if text not in ("1", "true", "0", "false"):
        raise bad_field("dry_run", "must be 1 or 0.")
    return text in ("1", "true")


def _gone(message: str, done: services.Changed, also: Sequence[UUID]) -> Response:
    return Response(
        {
            "success": True,
            "message": message,
            "job": emit_job(done.job),
            "also": [str(job_id) for job_id in also],
            "undo": undo.shown(done.undo),
        }
    )


class RetryV2(ApiView):
    """Queue a failed or cancelled job again, with its seed (`{"seed": "same"}`) or a new one.

    A deadline that has passed is dropped; `{"deadline": …}` sets another one, "" none.
    `{"dependents": true}` queues those again as well that failed because of it; without it they
    are only named, in `dependents`.
    """

    required_scopes = {"POST": WRITE}
    rate_bucket = Bucket.SUBMISSIONS  # it puts as much work into the queue as a new job

    def post(self, request: Request, job_id: UUID) -> Response:
        actor = Actor.of_request(request)
        services.find(job_id, actor)  # what is not there comes before what is wrong with a body
        body = _known(json_object(request), ("seed", "dependents", "deadline"))
        together = body.get("dependents", False)
        if not isinstance(together, bool):
            raise bad_field("dependents", f"must be true or false, not {kind_of(together)}.")
        changes = _new_times(body)
        if together:
            charge_jobs(request, 1 + len(services.failed_with([job_id], actor)))
            job, others = services.retry_together(job_id, actor, seed=_seed(body), **changes)
        else:
            job = services.retry(job_id, actor, seed=_seed(body), **changes)
            others = services.failed_with([job_id], actor)
        return Response(
            {
                "success": True,
                "message": "The job is queued again.",
                "job": emit_job(job),
                "dependents": [str(other) for other in others],
            }
        )


class TryNowV2(ApiView):
    """Try a job at once that waits because an attempt went wrong."""

    required_scopes = {"POST": WRITE}

    def post(self, request: Request, job_id: UUID) -> Response:
        job = services.try_now(job_id, Actor.of_request(request))
        message = "The job is tried as soon as a server is free."
        return Response({"success": True, "message": message, "job": emit_job(job)})


class DuplicateV2(ApiView):
    """Submit what a job asks for once more, as a job of its own."""

    required_scopes = {"POST": WRITE}
    rate_bucket = Bucket.SUBMISSIONS

    def post(self, request: Request, job_id: UUID) -> Response:
        actor = Actor.of_request(request)
        services.find(job_id, actor)
        body = _known(json_object(request), ("seed", "idempotency_key"))
        key = body.get("idempotency_key", "")
        if not isinstance(key, str):
            raise bad_field("idempotency_key", f"must be a text, not {kind_of(key)}.")
        done = services.duplicate(job_id, actor, seed=_seed(body), idempotency_key=key)
        return Response(submission(done), status=submitted(done))


def _known(body: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
    for name in body:
        if name not in names:
            raise bad_field(
                name[:60], "is not a field of this request.", error="unsupported_parameter"
            )
    return body


def _seed(body: Mapping[str, Any]) -> Seed:
    seed = body.get("seed", "same")
    if seed not in ("same", "new"):
        raise bad_field("seed", "must be same or new.")
    return "new" if seed == "new" else "same"


def _new_times(body: Mapping[str, Any]) -> NewTimes:
    if "deadline" not in body:
        return {}
    text = body["deadline"]
    if not isinstance(text, str):
        raise bad_field("deadline", f"must be a text, not {kind_of(text)}.")
    return {"deadline": read_moment("deadline", text) if text.strip() else None}


class MoveV2(ApiView):
    """Move a waiting job: `{"before": id}`, `{"after": id}`, or `{"to": "top"}` or "bottom".

    `top` and `bottom` are those of its priority, `first` and `last` those of the whole queue. Next
    to a job of another priority or lane it takes these over. Members move their own jobs among
    each other; staff move them anywhere.
    """

    required_scopes = {"POST": WRITE}

    def post(self, request: Request, job_id: UUID) -> Response:
        actor = Actor.of_request(request)
        services.find(job_id, actor)  # what is not there comes before what is wrong with a body
        job = services.move(job_id, read_goal(json_object(request)), actor)
        return Response({"success": True, "message": "The job is moved.", "job": emit_job(job)})


def read_goal(body: Mapping[str, Any]) -> services.Goal:
    """Read `{"before": id}`, `{"after": id}` or `{"to": "top"}`, or another end."""
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
        if value not in ENDS:
            raise bad_field("to", f"must be one of {', '.join(ENDS)}.")
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


class JobV2(StatusV2):
    """Show a job, change one that waits, or delete one that waits or has ended.

    GET is the same as that of its status. PATCH keeps what it does not name; in generation_params
    null removes a parameter.
    """

    required_scopes = {**StatusV2.required_scopes, "DELETE": WRITE, "PATCH": WRITE}

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
        actor = Actor.of_request(request)
        job = services.find(job_id, actor)
        also = services.also_taken([job_id], actor)
        if read_dry_run(request):
            return _gone("Nothing is changed.", services.Changed(job, None), also)
        return _gone("The job is deleted.", services.delete(job_id, actor), also)
