"""Many jobs at once over REST: move, prioritise, cancel, clear what is done; and undo."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from jobs import services
from jobs.api.changes import read_dry_run, read_goal
from jobs.api.orders import kind_of
from jobs.choices import FINAL
from jobs.services import undo
from jobs.services.cancelling import Skipped, Taken
from mobilesd.errors import InvalidInput, bad_field
from mobilesd.http.views import ApiView, json_object

__all__ = ["CancelManyV2", "ClearFinishedV2", "MoveManyV2", "PrioritiseManyV2", "UndoV2"]

WRITE = "jobs:write"
_TARGETS = ("jobs", "batch", "all")


class MoveManyV2(ApiView):
    """Move waiting jobs together: `{"jobs": [ids], "before": id}`, or after, or to top or bottom.

    They keep the order in which they wait, and stand side by side then. Those that do not wait any
    more are named in `skipped`; the others are moved all the same.
    """

    required_scopes = {"POST": WRITE}

    def post(self, request: Request) -> Response:
        body = json_object(request)
        jobs = _jobs(body)
        goal = read_goal({name: value for name, value in body.items() if name != "jobs"})
        done = services.move_many(jobs, goal, Actor.of_request(request))
        return Response(
            {
                "success": True,
                "message": f"{_count(len(done.jobs))} moved.",
                "moved": [str(pk) for pk in done.jobs],
                "skipped": [_skipped(left) for left in done.skipped],
            }
        )


class PrioritiseManyV2(ApiView):
    """Give waiting jobs a priority: `{"jobs": [ids], "priority": 2}`; all of them or none.

    Those that do not wait any more are named in `skipped`.
    """

    required_scopes = {"POST": WRITE}

    def post(self, request: Request) -> Response:
        body = json_object(request)
        for name in body:
            if name not in ("jobs", "priority"):
                raise bad_field(
                    name[:60], "is not a field of this request.", error="unsupported_parameter"
                )
        jobs = _jobs(body)
        if "priority" not in body:
            raise bad_field("priority", "is missing.", error="missing_required_field")
        priority = body["priority"]
        if not isinstance(priority, int) or isinstance(priority, bool):
            raise bad_field("priority", f"must be a number, not {kind_of(priority)}.")
        done = services.prioritise_many(jobs, priority, Actor.of_request(request))
        return Response(
            {
                "success": True,
                "message": f"Priority {priority} for {_count(len(done.jobs))}.",
                "changed": [str(pk) for pk in done.jobs],
                "skipped": [_skipped(left) for left in done.skipped],
            }
        )


class CancelManyV2(ApiView):
    """Cancel many jobs: `{"jobs": [ids]}`, `{"batch": id}`, or `{"all": true}` that wait.

    `also` names the jobs that fail with them. With `?dry_run=1` nothing is changed: the answer
    says what would be.
    """

    required_scopes = {"POST": WRITE}

    def post(self, request: Request) -> Response:
        dry_run = read_dry_run(request)
        done = _cancel(json_object(request), Actor.of_request(request), dry_run=dry_run)
        said = "Nothing is changed." if dry_run else f"{_count(done.count)} cancelled."
        return Response(
            {
                "success": True,
                "message": said,
                "cancelled": done.count,
                "also": [str(job_id) for job_id in done.also],
                "skipped": [_skipped(left) for left in done.skipped],
                "undo": undo.shown(done.undo),
            }
        )


def _cancel(body: Mapping[str, Any], actor: Actor, *, dry_run: bool) -> Taken:
    for name in body:
        if name not in _TARGETS:
            raise bad_field(
                name[:60], "is not a field of this request.", error="unsupported_parameter"
            )
    if len(body) != 1:
        raise InvalidInput(
            "Say which jobs to cancel, in one way.",
            error="job_operation_invalid" if body else "missing_required_field",
            hint='Send one of {"jobs": [ids]}, {"batch": id}, {"all": true}.',
            fields={"jobs": ["One of jobs, batch and all is needed."]},
        )
    if "jobs" in body:
        return services.cancel_many(_jobs(body), actor, dry_run=dry_run)
    if "batch" in body:
        return services.cancel_batch(_id("batch", body["batch"]), actor, dry_run=dry_run)
    if body["all"] is not True:
        raise bad_field("all", "must be true.")
    return services.cancel_all(actor, dry_run=dry_run)


class ClearFinishedV2(ApiView):
    """Delete the jobs that ended, or those in `statuses` only; their pictures stay."""

    required_scopes = {"POST": WRITE}

    def post(self, request: Request) -> Response:
        body = json_object(request)
        for name in body:
            if name != "statuses":
                raise bad_field(
                    name[:60], "is not a field of this request.", error="unsupported_parameter"
                )
        statuses = body.get("statuses", list(FINAL))
        if not isinstance(statuses, list) or not all(isinstance(s, str) for s in statuses):
            raise bad_field("statuses", "must be a list of words.")
        if not statuses:
            raise bad_field("statuses", "is empty.", "Leave it out to delete all that ended.")
        done = services.clear_finished(Actor.of_request(request), statuses)
        return Response(
            {
                "success": True,
                "message": f"{_count(done.count)} deleted.",
                "deleted": done.count,
                "complete": done.complete,
                "undo": undo.shown(done.undo),
            }
        )


class UndoV2(ApiView):
    """Bring back what a request took away, within the time that its answer named."""

    required_scopes = {"POST": WRITE}

    def post(self, request: Request, undo_id: UUID) -> Response:
        done = undo.undo(undo_id, Actor.of_request(request))
        return Response(
            {
                "success": True,
                "message": done.message,
                "action": done.action,
                "restored": done.restored,
            }
        )


def _jobs(body: Mapping[str, Any]) -> list[UUID]:
    if "jobs" not in body:
        raise bad_field("jobs", "is missing.", error="missing_required_field")
    jobs = body["jobs"]
    if not isinstance(jobs, list):
        raise bad_field("jobs", f"must be a list of ids, not {kind_of(jobs)}.")
    return [_id(f"jobs.{number}", value) for number, value in enumerate(jobs)]


def _id(name: str, value: Any) -> UUID:
    try:
        if isinstance(value, str):
            return UUID(value)
    except ValueError:
        pass
    raise bad_field(name, f"must be an id, not {kind_of(value)}.")


def _count(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"


def _skipped(left: Skipped) -> dict[str, Any]:
    message = f"The job is {left.status}." if left.status else "There is no such job."
    return {
        "mobilesd_job_id": str(left.job),
        "status": left.status or None,
        "message": message,
    }
