"""Looking at jobs."""

from jobs.api.schema.job import EXAMPLE_DONE, EXAMPLE_JOB, JOB_ID
from jobs.choices import Status
from mobilesd.schema.common import PAGE_COUNTS, PAGING
from mobilesd.schema.operations import Answer, Operation, Operations, Parameter, header, query
from mobilesd.schema.shapes import (
    enveloped,
    listed,
    mapping,
    moment,
    number,
    obj,
    ref,
    text,
    uuid,
    word,
)

__all__ = ["OPERATIONS"]

_STATUS = query(
    "status",
    word(Status.values, "Only jobs that stand there; may come more than once."),
    example=["pending", "processing"],
    repeated=True,
)
_APP_TYPE = query("app_type", text("Only jobs for this kind of server.", maxLength=500))
_FILTERS: tuple[Parameter, ...] = (
    _STATUS,
    _APP_TYPE,
    query("server", text("Only jobs that ask for this server, or had it.", maxLength=500)),
    query("source_info", text("Only jobs that said this of who sent them.", maxLength=500)),
    query(
        "source",
        text(
            "Only jobs of this program, whatever its version: `source_info` is compared without"
            " what stands between the first slash and the next space. Send your own `source_info`"
            " as it is.",
            maxLength=500,
        ),
    ),
    query("api_key", text("Only jobs of the key with this prefix.", maxLength=500)),
    query("batch", uuid("Only jobs of this bulk order.")),
    query(
        "q",
        text(
            "Only jobs with these words in prompt, model, LoRAs or source:"
            ' `lightho* "at dusk" -storm`.',
            maxLength=500,
        ),
        example="lighthouse",
    ),
    query("created_after", moment("Only jobs that are younger.")),
    query("created_before", moment("Only jobs that are older.")),
)
_LIST = {**PAGE_COUNTS, "jobs": listed(ref("Job"))}
_HAS_ETAG = ("ETag", "Cache-Control")
_IF_NONE_MATCH = header(
    "If-None-Match", text("The ETag that you have: 304 while nothing has changed.")
)
_NOT_CHANGED = Answer("Nothing has changed.", headers=_HAS_ETAG)
_COUNTS = {"total": 1, "total_is_exact": True, "next_cursor": None}

_SHOW = Operation(
    name="job_status",
    tag="Jobs",
    summary="Show a job, at once or when it has changed.",
    description=(
        "With `wait` the answer comes when the job is not any more what `If-None-Match` names,"
        " or what it was when the request came; after so many seconds in any case. A job that"
        " has ended is shown at once."
    ),
    path=JOB_ID,
    parameters=(
        query("wait", number("Seconds to wait for a change.", 0, 30, default=0), example=20),
        _IF_NONE_MATCH,
    ),
    answers={
        200: Answer(
            "The job.",
            enveloped({"job": ref("Job")}),
            {"success": True, "job": EXAMPLE_DONE},
            headers=_HAS_ETAG,
        ),
        304: _NOT_CHANGED,
    },
    errors=("job_not_found", "server_busy"),
)

OPERATIONS: Operations = {
    ("GET", "/api/v1/queue/jobs"): Operation(
        name="v1_jobs",
        tag="Jobs (v1)",
        summary="List jobs, newest first.",
        parameters=(_STATUS, _APP_TYPE, *PAGING),
        answers={200: Answer("The jobs.", obj(_LIST), {**_COUNTS, "jobs": [EXAMPLE_JOB]})},
        errors=("unsupported_parameter",),
    ),
    ("GET", "/api/v1/queue/jobs/{job_id}/status"): Operation(
        name="v1_job_status",
        tag="Jobs (v1)",
        summary="Show a job.",
        path=JOB_ID,
        parameters=(_IF_NONE_MATCH,),
        answers={
            200: Answer("The job.", ref("Job"), EXAMPLE_DONE, headers=_HAS_ETAG),
            304: _NOT_CHANGED,
        },
        errors=("job_not_found",),
    ),
    ("GET", "/api/v2/jobs"): Operation(
        name="jobs",
        tag="Jobs",
        summary="List jobs, newest first.",
        description=(
            "Follow `next_cursor` until it is null to read a whole list. Filters are combined:"
            " a job must match all of them. `filters` says how they were understood."
        ),
        parameters=(*_FILTERS, *PAGING),
        answers={
            200: Answer(
                "The jobs.",
                enveloped({"filters": mapping(True, "The filters that were used."), **_LIST}),
                {
                    "success": True,
                    "filters": {"status": ["pending"]},
                    **_COUNTS,
                    "jobs": [EXAMPLE_JOB],
                },
            )
        },
        errors=("unsupported_parameter",),
    ),
    ("GET", "/api/v2/jobs/{job_id}/status"): _SHOW,
    ("GET", "/api/v2/jobs/{job_id}"): Operation(
        **{**vars(_SHOW), "name": "job", "summary": "Show a job: the same as its status."}
    ),
}
