"""Changing jobs."""

from jobs.api.schema.job import EXAMPLE_ID, EXAMPLE_JOB, JOB_ID
from jobs.api.schema.submitting import ORDER_FIELDS
from mobilesd.schema.operations import Answer, Body, Operation, Operations
from mobilesd.schema.shapes import Shape, enveloped, obj, ref, text, uuid, word

__all__ = ["OPERATIONS", "changed"]

_GOALS: dict[str, Shape] = {
    "before": uuid("The id of a job."),
    "after": uuid("The id of a job."),
    "to": word(["top", "bottom"]),
}

_NULL: Shape = {"type": "null"}
_ERRORS = ("job_not_found", "job_operation_invalid", "job_operation_conflict")
_CANCELLED = {
    **EXAMPLE_JOB,
    "status": "cancelled",
    "queue_position": None,
    "waiting_reason": None,
    "completion_timestamp": "2026-01-31T18:00:04.000Z",
}


def _goal(wanted: str) -> Shape:
    """Return the body that says where by this name; the others may be null."""
    properties = {name: shape if name == wanted else _NULL for name, shape in _GOALS.items()}
    return obj(properties, required=[wanted], additionalProperties=False)


def changed(message: str, job: object = EXAMPLE_JOB) -> dict[int, Answer]:
    """Return the answer of v2 to a change: the job as it is now."""
    shape = enveloped({"message": text("What was done."), "job": ref("Job")})
    return {200: Answer(message, shape, {"success": True, "message": message, "job": job})}


OPERATIONS: Operations = {
    ("DELETE", "/api/v1/queue/jobs/{job_id}"): Operation(
        name="v1_delete_job",
        tag="Jobs (v1)",
        summary="Delete a job that waits or has ended.",
        path=JOB_ID,
        answers={
            200: Answer(
                "The job is deleted.",
                obj({"message": text("What was done.")}),
                {"message": "The job is deleted."},
            )
        },
        errors=_ERRORS,
    ),
    ("POST", "/api/v1/queue/jobs/{job_id}/cancel"): Operation(
        name="v1_cancel_job",
        tag="Jobs (v1)",
        summary="Cancel a job that waits or runs.",
        path=JOB_ID,
        answers={
            200: Answer(
                "The job is cancelled.",
                obj({"message": text("What was done."), "job": ref("Job")}),
                {"message": "The job is cancelled.", "job": _CANCELLED},
            )
        },
        errors=_ERRORS,
    ),
    ("DELETE", "/api/v2/jobs/{job_id}"): Operation(
        name="delete_job",
        tag="Jobs",
        summary="Delete a job that waits or has ended.",
        description=(
            "Take a job out of all lists. Its pictures stay in the gallery. A running job is"
            " cancelled first (409 until then)."
        ),
        path=JOB_ID,
        answers=changed("The job is deleted.", _CANCELLED),
        errors=_ERRORS,
    ),
    ("PATCH", "/api/v2/jobs/{job_id}"): Operation(
        name="change_job",
        tag="Jobs",
        summary="Change a job that waits.",
        description=(
            "Change what the body names; the rest stays. In `generation_params` null removes a"
            " parameter. An empty text takes `source_info`, `not_before` or `deadline` away, as"
            " null does with `target_server_alias`. The whole is checked like a new job."
        ),
        path=JOB_ID,
        body=Body(
            obj(
                {
                    name: ORDER_FIELDS[name]
                    for name in (
                        "generation_params",
                        "target_server_alias",
                        "source_info",
                        "priority",
                        "lane",
                        "not_before",
                        "deadline",
                    )
                },
                required=[],
                additionalProperties=False,
            ),
            {
                "first in line": {"priority": 1},
                "another size": {"generation_params": {"width": 1024, "height": 1024}},
            },
        ),
        answers=changed("The job is changed."),
        errors=(*_ERRORS, "unsupported_parameter", "app_type_not_allowed", "storage_failed"),
    ),
    ("POST", "/api/v2/jobs/{job_id}/move"): Operation(
        name="move_job",
        tag="Jobs",
        summary="Move a job that waits to another place in the queue.",
        description=(
            "`top` and `bottom` are those of its priority. Next to a job of another priority or"
            " lane it takes these over. Members move their own jobs among each other; staff, and"
            " keys with `jobs:all`, move them anywhere."
        ),
        path=JOB_ID,
        body=Body(
            {
                "description": "Exactly one of the three.",
                "oneOf": [_goal(name) for name in _GOALS],
            },
            {"to the top": {"to": "top"}, "before another": {"before": EXAMPLE_ID}},
        ),
        answers=changed("The job is moved."),
        errors=(*_ERRORS, "unsupported_parameter", "missing_required_field"),
    ),
    ("POST", "/api/v2/jobs/{job_id}/cancel"): Operation(
        name="cancel_job",
        tag="Jobs",
        summary="Cancel a job that waits or runs.",
        path=JOB_ID,
        answers=changed("The job is cancelled.", _CANCELLED),
        errors=_ERRORS,
    ),
    ("POST", "/api/v2/jobs/{job_id}/retry"): Operation(
        name="retry_job",
        tag="Jobs",
        summary="Queue a failed or cancelled job again.",
        description="Queue a job again, with the same seed. For a key's quotas it is a job more.",
        path=JOB_ID,
        answers=changed("The job is queued again."),
        errors=(*_ERRORS, "quota_exceeded"),
    ),
}
