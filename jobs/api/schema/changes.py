"""Changing jobs."""

from jobs.api.schema.job import EXAMPLE_ID, EXAMPLE_JOB, JOB_ID
from jobs.api.schema.submitting import ERRORS as SUBMISSION_ERRORS
from jobs.api.schema.submitting import ORDER_FIELDS, SUBMISSIONS
from jobs.services.places import ENDS
from mobilesd.schema.operations import Answer, Body, Operation, Operations, Parameter
from mobilesd.schema.shapes import (
    Shape,
    enveloped,
    flag,
    listed,
    moment,
    nullable,
    obj,
    ref,
    text,
    uuid,
    word,
)

__all__ = [
    "ALSO",
    "DRY_RUN",
    "GOALS",
    "OPERATIONS",
    "SEED",
    "UNDO",
    "UNDO_EXAMPLE",
    "changed",
]

GOALS: dict[str, Shape] = {
    "before": uuid("The id of a job."),
    "after": uuid("The id of a job."),
    "to": word(ENDS, "An end of its priority (`top`, `bottom`), or of the whole queue."),
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


UNDO: Shape = nullable(
    obj(
        {
            "id": uuid("For POST /api/v2/undo/{id}."),
            "expires_at": moment("Until then it can be undone."),
        },
        "By what this can be taken back; null if nothing was changed.",
    )
)
UNDO_EXAMPLE = {
    "id": "7d9f2c31-40be-4b0e-8f0a-2b8f5f0f9a11",
    "expires_at": "2026-01-31T18:00:14.000Z",
}
SEED: Shape = nullable(word(["same", "new"], "The seed of the job, or one that is drawn."))


def _goal(wanted: str) -> Shape:
    """Return the body that says where by this name; the others may be null."""
    properties = {name: shape if name == wanted else _NULL for name, shape in GOALS.items()}
    return obj(properties, required=[wanted], additionalProperties=False)


ALSO = listed(uuid(), "Waiting jobs that fail with it, as they depend on it.")
DRY_RUN = Parameter("dry_run", word(["1", "0", "true", "false"], "1: only say what it would take."))


def changed(message: str, job: object = EXAMPLE_JOB) -> dict[int, Answer]:
    """Return the answer of v2 to a change: the job as it is now."""
    shape = enveloped({"message": text("What was done."), "job": ref("Job")})
    return {200: Answer(message, shape, {"success": True, "message": message, "job": job})}


def _gone(message: str) -> dict[int, Answer]:
    """Return the answer of v2 to what takes a job away."""
    shape = enveloped(
        {
            "message": text("What was done."),
            "job": ref("Job"),
            "also": ALSO,
            "undo": UNDO,
        }
    )
    example = {
        "success": True,
        "message": message,
        "job": _CANCELLED,
        "also": [],
        "undo": UNDO_EXAMPLE,
    }
    return {200: Answer(message, shape, example)}


def _again(message: str) -> dict[int, Answer]:
    """Return the answer of v2 to a retry."""
    shape = enveloped(
        {
            "message": text("What was done."),
            "job": ref("Job"),
            "dependents": listed(
                uuid(),
                "Jobs that were queued again with it; without `dependents`: that failed because of"
                " it, and still are.",
            ),
        }
    )
    example = {"success": True, "message": message, "job": EXAMPLE_JOB, "dependents": []}
    return {200: Answer(message, shape, example)}


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
            " cancelled first (409 until then). Waiting jobs that depend on one that waits fail"
            " with it; `also` names them. With `dry_run` nothing is changed."
        ),
        path=JOB_ID,
        parameters=(DRY_RUN,),
        answers=_gone("The job is deleted."),
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
            " `generation_params` of a job that has some of its pictures can't be changed (409)."
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
                        "depends_on",
                    )
                },
                required=[],
                additionalProperties=False,
            ),
            {
                "first in line": {"priority": 1},
                "another size": {"generation_params": {"width": 1024, "height": 1024}},
                "wait for nothing": {"depends_on": []},
            },
        ),
        answers=changed("The job is changed."),
        errors=(
            *_ERRORS,
            "unsupported_parameter",
            "app_type_not_allowed",
            "storage_failed",
            "storage_low",
            "dependency_cycle",
            "dependency_failed",
        ),
    ),
    ("POST", "/api/v2/jobs/{job_id}/move"): Operation(
        name="move_job",
        tag="Jobs",
        summary="Move a job that waits to another place in the queue.",
        description=(
            "`top` and `bottom` are those of its priority, `first` and `last` those of the whole"
            " queue. Next to a job of another priority or lane it takes these over, and on its way"
            " to `first` or `last`. Members move their own jobs among each other; staff, and keys"
            " with `jobs:all`, move them anywhere."
        ),
        path=JOB_ID,
        body=Body(
            {
                "description": "Exactly one of the three.",
                "oneOf": [_goal(name) for name in GOALS],
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
        description=(
            "Waiting jobs that depend on it fail with it; `also` names them. With `dry_run` nothing"
            " is changed, and `also` names those that would."
        ),
        path=JOB_ID,
        parameters=(DRY_RUN,),
        answers=_gone("The job is cancelled."),
        errors=_ERRORS,
    ),
    ("POST", "/api/v2/jobs/{job_id}/retry"): Operation(
        name="retry_job",
        tag="Jobs",
        summary="Queue a failed or cancelled job again.",
        description=(
            "Queue a job again, with its seed or a new one. For a key's limits it is a submission,"
            " and for its quotas a job more; 50 dependents are one submission more."
            " A deadline that has passed is dropped. A completed job is duplicated instead (409)."
            " 409 as well if a picture that it is made from was deleted since. Pictures that it has"
            " are kept, and only the others are made: then a new seed is refused (409)."
        ),
        path=JOB_ID,
        body=Body(
            obj(
                {
                    "seed": SEED,
                    "dependents": nullable(
                        flag("Queue those again as well that failed because of it.")
                    ),
                    "deadline": nullable(
                        moment("It must have begun by then; an empty text: there is none.")
                    ),
                },
                required=[],
                additionalProperties=False,
            ),
            {
                "the same picture": {"seed": "same"},
                "another picture": {"seed": "new"},
                "the whole chain": {"dependents": True},
                "by another deadline": {"deadline": "2026-02-01T06:30:00Z"},
            },
            required=False,
        ),
        answers=_again("The job is queued again."),
        errors=(*_ERRORS, "quota_exceeded", "unsupported_parameter"),
    ),
    ("POST", "/api/v2/jobs/{job_id}/try-now"): Operation(
        name="try_job_now",
        tag="Jobs",
        summary="Try a job at once that waits because an attempt went wrong.",
        description=(
            "After an error that may pass, a job waits for seconds or minutes before it is tried"
            " again. This ends that wait; a job that does not wait for that stays as it is."
        ),
        path=JOB_ID,
        answers=changed("The job is tried as soon as a server is free."),
        errors=("job_not_found", "job_operation_conflict"),
    ),
    ("POST", "/api/v2/jobs/{job_id}/duplicate"): Operation(
        name="duplicate_job",
        tag="Jobs",
        summary="Submit what a job asks for once more.",
        description=(
            "Make a new job of the same parameters, at the end of its priority, whatever became of"
            " the old one. It is yours, waits for no other job and belongs to no batch."
        ),
        path=JOB_ID,
        body=Body(
            obj(
                {
                    "seed": SEED,
                    "idempotency_key": nullable(
                        text("The same key again gives the same job.", maxLength=200)
                    ),
                },
                required=[],
                additionalProperties=False,
            ),
            {"the same picture": {}, "another picture": {"seed": "new"}},
            required=False,
        ),
        answers=SUBMISSIONS,
        errors=tuple(dict.fromkeys((*SUBMISSION_ERRORS, *_ERRORS, "unsupported_parameter"))),
    ),
}
