"""What became of a job."""

from typing import Any

from jobs.api.schema.job import EXAMPLE_ID, JOB_ID
from jobs.choices import Outcome
from mobilesd.schema.operations import Answer, Operation, Operations
from mobilesd.schema.shapes import (
    enveloped,
    flag,
    listed,
    mapping,
    moment,
    nullable,
    number,
    obj,
    ref,
    text,
    uuid,
    whole,
    word,
)

__all__ = ["OPERATIONS"]

_ATTEMPT = obj(
    {
        "attempt": uuid("Its id, which the server was told too."),
        "number": whole("Of the job, from 1.", 1),
        "server_alias": text(),
        "outcome": nullable(word(Outcome.values, "How it ended; null while it runs.")),
        "text": text("The same in words."),
        "error": nullable(ref("JobError")),
        "error_class": nullable(text("What kind of trouble it was: it decides what comes next.")),
        "measures": listed(text(), "What was done otherwise than asked, in words."),
        "expected_seconds": nullable(
            number("What it was expected to last, model load included; null: unknown.", 0)
        ),
        "creation_timestamp": moment(),
        "submitted_timestamp": nullable(moment("When it was sent; null: it was not.")),
        "began_timestamp": nullable(moment("When the server took it up, as far as it showed.")),
        "first_step_timestamp": nullable(moment("When its first step was done.")),
        "completion_timestamp": nullable(moment("When it ended.")),
        "cleared_timestamp": nullable(moment("When the server surely had it no more.")),
    }
)
_EVENT = obj(
    {
        "id": whole(low=1),
        "type": text("The kind of event."),
        "text": text("What happened, in words."),
        "timestamp": moment(),
        "data": mapping(
            True,
            "What the event says; `request_id` is that of the request that made the change,"
            " `by` who sent it.",
        ),
    }
)
_STEP = obj(
    {
        "timestamp": moment(),
        "text": text("What happened, in words."),
        "detail": text("More of it; may be empty."),
        "hint": text("What to do about it; may be empty."),
        "code": nullable(text("The code of an error.")),
        "tone": nullable(word(["good", "warn", "bad"], "null: neither good nor bad.")),
        "attempt": nullable(whole("Of which attempt it is.", 1)),
        "after_seconds": nullable(number("The time since the step before.")),
    }
)
_DIFFERENCES = obj(
    {
        "values": listed(
            obj({"name": text(), "asked": text(), "done": text("What the picture says.")}),
            "Values that are not as asked.",
        ),
        "notes": listed(text(), "Sentences about the rest."),
    },
    "What was done otherwise than asked.",
)
_EXAMPLE: dict[str, Any] = {
    "success": True,
    "mobilesd_job_id": EXAMPLE_ID,
    "attempts": [
        {
            "attempt": "9e107d9d-372b-4b2c-8a6d-1d3542a419d6",
            "number": 1,
            "server_alias": "gaming-pc",
            "outcome": "completed",
            "text": "Completed.",
            "error": None,
            "error_class": None,
            "measures": [],
            "expected_seconds": 12.5,
            "creation_timestamp": "2026-01-31T18:00:09.100Z",
            "submitted_timestamp": "2026-01-31T18:00:09.112Z",
            "began_timestamp": "2026-01-31T18:00:09.300Z",
            "first_step_timestamp": "2026-01-31T18:00:12.020Z",
            "completion_timestamp": "2026-01-31T18:00:21.480Z",
            "cleared_timestamp": "2026-01-31T18:00:21.480Z",
        }
    ],
    "events": [
        {
            "id": 812,
            "type": "job.created",
            "text": "Submitted.",
            "timestamp": "2026-01-31T18:00:00.000Z",
            "data": {"job": EXAMPLE_ID, "status": "pending"},
        }
    ],
    "steps": [
        {
            "timestamp": "2026-01-31T18:00:00.000Z",
            "text": "Submitted by anna.",
            "detail": "",
            "hint": "",
            "code": None,
            "tone": None,
            "attempt": None,
            "after_seconds": None,
        }
    ],
    "differences": {"values": [], "notes": []},
    "complete": True,
}

OPERATIONS: Operations = {
    ("GET", "/api/v2/jobs/{job_id}/history"): Operation(
        name="job_history",
        tag="Jobs",
        summary="Show the attempts and events of a job, oldest first.",
        description="Show the last 500 attempts and the last 500 events, oldest first.",
        path=JOB_ID,
        answers={
            200: Answer(
                "What became of it.",
                enveloped(
                    {
                        "mobilesd_job_id": uuid(),
                        "attempts": listed(_ATTEMPT, "Each try on a server."),
                        "events": listed(_EVENT, "Each change."),
                        "steps": listed(_STEP, "All that happened, as the job's page tells it."),
                        "differences": _DIFFERENCES,
                        "complete": flag("False when older ones are left out."),
                    }
                ),
                _EXAMPLE,
            )
        },
        errors=("job_not_found",),
    ),
}
