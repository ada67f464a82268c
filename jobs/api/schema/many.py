"""Changing many jobs at once, and taking that back."""

from jobs.api.schema.changes import ALSO, DRY_RUN, GOALS, UNDO, UNDO_EXAMPLE
from jobs.api.schema.job import EXAMPLE_ID
from jobs.choices import FINAL, Status
from mobilesd.schema.operations import Answer, Body, Operation, Operations
from mobilesd.schema.shapes import (
    Shape,
    const_true,
    enveloped,
    flag,
    listed,
    nullable,
    obj,
    text,
    uuid,
    whole,
    word,
)

__all__ = ["OPERATIONS"]

_OTHER_ID = "5d1c9a9e-6a07-4f0a-9a4e-0d4b4a7a2c10"
_JOBS: Shape = listed(uuid(), "Ids of jobs, 1,000 at most.", minItems=1, maxItems=1000)
_NULL: Shape = {"type": "null"}
_SKIPPED: Shape = listed(
    obj(
        {
            "mobilesd_job_id": uuid(),
            "status": nullable(word(Status.values, "What it is; null: there is no such job.")),
            "message": text("Why it was left alone."),
        }
    ),
    "The named jobs that were left alone.",
)
_SKIPPED_EXAMPLE = [
    {
        "mobilesd_job_id": _OTHER_ID,
        "status": "processing",
        "message": "The job is processing.",
    }
]
_DONE = text("What was done.")
_ERRORS = ("missing_required_field", "job_operation_invalid", "unsupported_parameter")
_UNDO_ID = {"undo_id": uuid("From the answer that it takes back.", example=_OTHER_ID)}


def _one_of(shapes: dict[str, Shape], wanted: str, always: dict[str, Shape]) -> Shape:
    properties = {name: shape if name == wanted else _NULL for name, shape in shapes.items()}
    return obj({**always, **properties}, required=[*always, wanted], additionalProperties=False)


_CANCELLABLE: dict[str, Shape] = {
    "jobs": _JOBS,
    "batch": uuid("The id of a bulk order."),
    "all": const_true("All that wait, as far as you may see them."),
}

OPERATIONS: Operations = {
    ("POST", "/api/v2/queue/move"): Operation(
        name="move_jobs",
        tag="Queue",
        summary="Move jobs that wait to another place in the queue.",
        description=(
            "Move many jobs as one: they stand side by side then, in the order in which they"
            " waited. Jobs that do not wait any more are named in `skipped`, the others are moved"
            " all the same. Otherwise as the move of one job."
        ),
        body=Body(
            {
                "description": "The jobs, and exactly one of the three.",
                "oneOf": [_one_of(GOALS, name, {"jobs": _JOBS}) for name in GOALS],
            },
            {"to the top": {"jobs": [EXAMPLE_ID, _OTHER_ID], "to": "top"}},
        ),
        answers={
            200: Answer(
                "They are moved.",
                enveloped(
                    {
                        "message": _DONE,
                        "moved": listed(uuid(), "The jobs that were moved, in their order."),
                        "skipped": _SKIPPED,
                    }
                ),
                {
                    "success": True,
                    "message": "1 job moved.",
                    "moved": [EXAMPLE_ID],
                    "skipped": _SKIPPED_EXAMPLE,
                },
            )
        },
        errors=(*_ERRORS, "job_not_found", "job_operation_conflict"),
    ),
    ("POST", "/api/v2/queue/priority"): Operation(
        name="prioritise_jobs",
        tag="Queue",
        summary="Give many jobs that wait another priority.",
        description=(
            "All of them get it at once. Jobs that do not wait any more are named in `skipped`; a"
            " request that is refused changes none."
        ),
        body=Body(
            obj(
                {"jobs": _JOBS, "priority": whole("From 1 (first) to 10.", 1, 10)},
                additionalProperties=False,
            ),
            {"first in line": {"jobs": [EXAMPLE_ID, _OTHER_ID], "priority": 1}},
        ),
        answers={
            200: Answer(
                "They have it.",
                enveloped(
                    {
                        "message": _DONE,
                        "changed": listed(uuid(), "The jobs that have it, in their order."),
                        "skipped": _SKIPPED,
                    }
                ),
                {
                    "success": True,
                    "message": "Priority 1 for 1 job.",
                    "changed": [EXAMPLE_ID],
                    "skipped": _SKIPPED_EXAMPLE,
                },
            )
        },
        errors=(*_ERRORS, "app_type_not_allowed"),
    ),
    ("POST", "/api/v2/queue/cancel"): Operation(
        name="cancel_jobs",
        tag="Queue",
        summary="Cancel many jobs.",
        description=(
            "Cancel the named jobs, or those of a bulk order, that wait or run; or all that wait."
            " Waiting jobs that depend on them fail with them; `also` names them. With `dry_run`"
            " nothing is changed: `cancelled` and `also` say what would be. It can be undone for"
            " ten seconds: what waited gets its old place, and what ran is made anew."
        ),
        parameters=(DRY_RUN,),
        body=Body(
            {
                "description": "Exactly one of the three.",
                "oneOf": [_one_of(_CANCELLABLE, name, {}) for name in _CANCELLABLE],
            },
            {"some": {"jobs": [EXAMPLE_ID, _OTHER_ID]}, "all that wait": {"all": True}},
        ),
        answers={
            200: Answer(
                "They are cancelled.",
                enveloped(
                    {
                        "message": _DONE,
                        "cancelled": whole("How many.", 0),
                        "also": ALSO,
                        "skipped": _SKIPPED,
                        "undo": UNDO,
                    }
                ),
                {
                    "success": True,
                    "message": "1 job cancelled.",
                    "cancelled": 1,
                    "also": [],
                    "skipped": [],
                    "undo": UNDO_EXAMPLE,
                },
            )
        },
        errors=(*_ERRORS, "not_found"),
    ),
    ("POST", "/api/v2/queue/clear-finished"): Operation(
        name="clear_finished",
        tag="Queue",
        summary="Delete all jobs that ended.",
        description=(
            "Take the jobs that ended out of all lists, as far as you may see them; 20,000 at a"
            " time. Their pictures stay in the gallery. It can be undone for ten seconds."
        ),
        body=Body(
            obj(
                {
                    "statuses": nullable(
                        listed(word(FINAL), "Only those that ended so.", minItems=1)
                    )
                },
                required=[],
                additionalProperties=False,
            ),
            {"all": {}, "only what failed": {"statuses": ["failed"]}},
            required=False,
        ),
        answers={
            200: Answer(
                "They are deleted.",
                enveloped(
                    {
                        "message": _DONE,
                        "deleted": whole("How many.", 0),
                        "complete": flag("False: there are more; send the request again."),
                        "undo": UNDO,
                    }
                ),
                {
                    "success": True,
                    "message": "120 jobs deleted.",
                    "deleted": 120,
                    "complete": True,
                    "undo": UNDO_EXAMPLE,
                },
            )
        },
        errors=("unsupported_parameter",),
    ),
    ("POST", "/api/v2/undo/{undo_id}"): Operation(
        name="undo",
        tag="Queue",
        summary="Take back what a request cancelled or deleted.",
        description=(
            "Bring back what the request took away, if it was yours, within ten seconds: jobs, a"
            " server, or a preset. Twice is once. What was changed since is left alone."
        ),
        path=_UNDO_ID,
        answers={
            200: Answer(
                "They are back.",
                enveloped(
                    {
                        "message": _DONE,
                        "action": text("What was taken back: cancel, delete, clear and so on."),
                        "restored": whole("How many jobs, servers or presets came back.", 0),
                    }
                ),
                {
                    "success": True,
                    "message": "1 job brought back.",
                    "action": "cancel",
                    "restored": 1,
                },
            )
        },
        errors=("not_found", "undo_expired", "already_exists"),
    ),
}
