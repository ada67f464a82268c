"""Many jobs at once."""

from typing import Any

from jobs.api.schema.changes import ALSO, DRY_RUN, UNDO, UNDO_EXAMPLE
from jobs.api.schema.job import EXAMPLE_ID
from jobs.api.schema.params import EXAMPLE_PARAMS
from jobs.api.schema.submitting import ERRORS, ORDER_FIELDS
from jobs.choices import Status
from jobs.services.variations import MAX_JOBS, SeedVariation
from mobilesd.schema.operations import Answer, Body, Operation, Operations
from mobilesd.schema.shapes import (
    Shape,
    anything,
    const_true,
    enveloped,
    flag,
    listed,
    mapping,
    moment,
    nullable,
    obj,
    text,
    uuid,
    whole,
    word,
)

__all__ = ["OPERATIONS"]

_ID = "5f0c8f5e-93a4-4c0e-8f0d-6d7c0e2b9a31"
_PATH = {"batch_id": uuid("The bulk order's id, `bulk_job_id`.", example=_ID)}
_LISTS = mapping(nullable(listed(anything(), minItems=1)), "Lists of values by parameter.")
_BODY = obj(
    {
        **ORDER_FIELDS,
        "bulk_quantity": nullable(
            whole("How many jobs, of each combination if there are `variations`.", 1, MAX_JOBS)
        ),
        "seed_variation": nullable(
            word(SeedVariation.values, "How the jobs' seeds differ.", default="incremental")
        ),
        "base_seed": nullable(whole("The first job's seed; -1: draw one.", -1, 2**64 - 1)),
        "checkpoints_in": nullable(
            text(
                "A folder: all checkpoints that suitable servers have in it, and in the folders in"
                " it, as a list of variations. Empty: all checkpoints."
            )
        ),
        "expand_alternatives": nullable(
            flag(
                "Make `{a|b}` in prompts two jobs, also nested. A backslash before a brace or a bar"
                " makes it a plain character. Otherwise braces stay as they are."
            )
        ),
        "run_first": nullable(
            whole("Run so many jobs, and hold the rest until POST …/nod.", 1, MAX_JOBS)
        ),
        "batch_name": nullable(text("What people call it.", maxLength=200)),
        "variations": nullable(
            {
                "description": (
                    "Values to go through, by parameter. `checkpoints`, `prompts`,"
                    " `negative_prompts`, `samplers`, `schedulers`, `seeds` and `vaes` are names"
                    " too. `product` makes all combinations, `zip` goes through the lists"
                    " together."
                ),
                "anyOf": [
                    obj(
                        {
                            "mode": nullable(word(["product", "zip"], default="product")),
                            "fields": nullable(_LISTS),
                        },
                        required=[],
                        additionalProperties=False,
                    ),
                    _LISTS,
                ],
            }
        ),
    },
    required=[],
    additionalProperties=True,
)
_SUBMITTED = enveloped(
    {
        "bulk_job_id": nullable(uuid("The order's id; null only if it is gone for good.")),
        "total_jobs": whole("How many jobs there are.", 0, MAX_JOBS),
        "jobs": listed(
            obj(
                {
                    "mobilesd_job_id": uuid("The job's id."),
                    "queue_position": nullable(whole("Place in the queue, from 1.", 1)),
                }
            ),
            "The jobs, in their order.",
        ),
        "creation_timestamp": nullable(moment()),
        "warnings": listed(text(), "What was changed or is not known."),
        "deleted": const_true("Only there, and true, when the order is gone for good."),
    },
    required=[
        "success",
        "bulk_job_id",
        "total_jobs",
        "jobs",
        "creation_timestamp",
        "warnings",
    ],
)
_EXAMPLE: dict[str, Any] = {
    "success": True,
    "bulk_job_id": _ID,
    "total_jobs": 1,
    "jobs": [{"mobilesd_job_id": EXAMPLE_ID, "queue_position": 2}],
    "creation_timestamp": "2026-01-31T18:00:00.000Z",
    "warnings": [],
}
_COUNTS: Shape = obj({status: whole(low=0) for status in Status.values}, "Jobs by status.")

OPERATIONS: Operations = {
    ("POST", "/api/v2/generate/bulk"): Operation(
        name="generate_bulk",
        tag="Bulk",
        summary="Submit many jobs, all or none.",
        description=(
            f"Put up to {MAX_JOBS:,} jobs into the queue by one request. When anything is wrong"
            " with one of them, none is submitted. One of `bulk_quantity`, `variations`,"
            " `checkpoints_in` and `expand_alternatives` is needed. With"
            " `incremental` seeds, each job goes on after the pictures of the one before. Against"
            " the rate limit it counts once for each 50 jobs."
        ),
        body=Body(
            _BODY,
            {
                "ten seeds": {"generation_params": EXAMPLE_PARAMS, "bulk_quantity": 10},
                "two of four first": {
                    "generation_params": {
                        "positive_prompt": "a {red|blue|{pale|dark} green} house"
                    },
                    "expand_alternatives": True,
                    "run_first": 2,
                    "batch_name": "houses",
                },
                "two models, two prompts": {
                    "generation_params": {"steps": 20},
                    "variations": {
                        "mode": "product",
                        "fields": {
                            "checkpoints": ["dreamshaper_8", "realisticVision"],
                            "prompts": ["a lighthouse at dusk", "a lighthouse at noon"],
                        },
                    },
                },
            },
        ),
        answers={
            202: Answer("The jobs are in the queue.", _SUBMITTED, _EXAMPLE),
            200: Answer("The order of the same `idempotency_key`.", _SUBMITTED, _EXAMPLE),
        },
        errors=ERRORS,
    ),
    ("GET", "/api/v2/generate/bulk/{batch_id}"): Operation(
        name="bulk_status",
        tag="Bulk",
        summary="Show how far a bulk order is.",
        path=_PATH,
        answers={
            200: Answer(
                "How far it is.",
                enveloped(
                    {
                        "bulk_job_id": uuid(),
                        "total_jobs": whole("As it was submitted.", 0),
                        "counts": _COUNTS,
                        "deleted": whole("Jobs that were deleted since.", 0),
                        "finished": flag("Whether nothing more will happen by itself."),
                        "held": whole("Pending jobs that wait for a nod.", 0),
                        "results": listed(
                            obj(
                                {
                                    "mobilesd_job_id": uuid(),
                                    "image_ids": listed(uuid()),
                                    "thumbnail_urls": listed(text()),
                                }
                            ),
                            "The first jobs that are done, with their pictures.",
                        ),
                        "batch_name": nullable(text()),
                        "run_first": nullable(whole("As it was asked for.", 1)),
                        "nodded_timestamp": nullable(moment("When somebody nodded.")),
                        "seed_variation": nullable(word(SeedVariation.values)),
                        "creation_timestamp": moment(),
                    }
                ),
                {
                    "success": True,
                    "bulk_job_id": _ID,
                    "total_jobs": 10,
                    "counts": {
                        "pending": 6,
                        "processing": 1,
                        "completed": 3,
                        "failed": 0,
                        "cancelled": 0,
                    },
                    "deleted": 0,
                    "finished": False,
                    "held": 0,
                    "results": [],
                    "batch_name": "lighthouses",
                    "run_first": None,
                    "nodded_timestamp": None,
                    "seed_variation": "incremental",
                    "creation_timestamp": "2026-01-31T18:00:00.000Z",
                },
            )
        },
        errors=("not_found", "job_not_found"),
    ),
    ("POST", "/api/v2/batches/{batch_id}/nod"): Operation(
        name="nod_batch",
        tag="Bulk",
        summary="Let the held jobs of a bulk order run, or cancel them.",
        description=(
            "Of a bulk order with `run_first`, the rest waits until then. A second nod finds"
            " nothing to do. What is cancelled can be undone."
        ),
        path=_PATH,
        body=Body(
            obj({"go": flag("Whether the rest runs.")}, additionalProperties=True),
            {"go on": {"go": True}, "stop here": {"go": False}},
        ),
        answers={
            200: Answer(
                "It is done.",
                enveloped(
                    {
                        "released": whole("Jobs that may run now.", 0),
                        "cancelled": whole("Jobs that were cancelled.", 0),
                        "also": ALSO,
                        "undo": UNDO,
                    }
                ),
                {"success": True, "released": 8, "cancelled": 0, "also": [], "undo": None},
            )
        },
        errors=("not_found", "missing_required_field"),
    ),
    ("POST", "/api/v2/generate/bulk/{batch_id}/cancel"): Operation(
        name="cancel_bulk",
        tag="Bulk",
        summary="Cancel the jobs of a bulk order that wait or run.",
        description=(
            "Waiting jobs that depend on them fail with them; `also` names them. With `dry_run`"
            " nothing is changed."
        ),
        path=_PATH,
        parameters=(DRY_RUN,),
        answers={
            200: Answer(
                "They are cancelled.",
                enveloped({"cancelled": whole("How many.", 0), "also": ALSO, "undo": UNDO}),
                {"success": True, "cancelled": 7, "also": [], "undo": UNDO_EXAMPLE},
            )
        },
        errors=("not_found", "job_not_found"),
    ),
    ("POST", "/api/v2/generate/bulk/{batch_id}/retry"): Operation(
        name="retry_bulk",
        tag="Bulk",
        summary="Queue the jobs of a bulk order again that failed.",
        description=(
            "They keep their seeds; a deadline that has passed is dropped. What was cancelled stays"
            " so. `left` names the failed ones that can't be made still: they need another job that"
            " came to nothing, or a file that is gone. Undo lets those that wait still be failed"
            " again. Against the rate limit it counts once for each 50 jobs, and for the quotas of"
            " a key each is a job more."
        ),
        path=_PATH,
        answers={
            200: Answer(
                "They wait again.",
                enveloped(
                    {
                        "retried": whole("How many.", 0),
                        "left": listed(uuid(), "Failed jobs that stay as they are."),
                        "undo": UNDO,
                    }
                ),
                {"success": True, "retried": 3, "left": [], "undo": UNDO_EXAMPLE},
            )
        },
        errors=("not_found", "quota_exceeded"),
    ),
}
