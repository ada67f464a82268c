"""Submitting jobs."""

from typing import Any

from django.conf import settings

from jobs.api.schema.job import EXAMPLE_ID
from jobs.api.schema.params import EXAMPLE_PARAMS
from jobs.choices import LaneClass
from jobs.models import OnFailure
from mobilesd.schema.operations import Answer, Body, Operation, Operations
from mobilesd.schema.shapes import (
    Shape,
    const_true,
    enveloped,
    listed,
    moment,
    nullable,
    obj,
    ref,
    text,
    uuid,
    whole,
    word,
)

__all__ = ["ERRORS", "OPERATIONS", "ORDER_FIELDS", "SUBMISSIONS"]

ERRORS = (
    "missing_required_field",
    "unsupported_parameter",
    "app_type_not_allowed",
    "idempotency_conflict",
    "dependency_failed",
    "quota_exceeded",
    "submissions_closed",
    "storage_failed",
    "storage_low",
)

ORDER_FIELDS: dict[str, Shape] = {
    "generation_params": nullable(ref("GenerationParams")),
    "generation_info_raw": nullable(
        text(
            "An infotext, as pictures carry it, instead of `generation_params` or together with"
            " them; they win, field by field."
        )
    ),
    "target_server_alias": nullable(text("The server to use; null or absent: any.")),
    "app_type": nullable(text("The kind of server; absent: that of the server, else the default.")),
    "source_info": nullable(text("Who sends it, for people and logs.", maxLength=200)),
    "priority": nullable(whole("1 comes first, 10 last.", 1, 10, default=5)),
    "lane": nullable(word(LaneClass.values, "Interactive jobs go before background ones.")),
    "not_before": nullable(moment("Wait until then.")),
    "deadline": nullable(moment("Give it up then; must be in the future.")),
    "depends_on": nullable(
        listed(
            {
                "anyOf": [
                    uuid(),
                    obj(
                        {
                            "job": uuid(),
                            "on_failure": nullable(
                                word(
                                    OnFailure.values,
                                    "What becomes of this job when that one comes to nothing:"
                                    " it fails as well, or runs all the same.",
                                    default="cancel",
                                )
                            ),
                        },
                        required=["job"],
                        additionalProperties=True,
                    ),
                ]
            },
            "Jobs that have to end before this one starts.",
            maxItems=50,
        )
    ),
    "idempotency_key": nullable(
        text(
            "Any text of your own, new for each new order. The same key with the same body"
            " again gives the same job, for a month: so a request may be repeated safely.",
            maxLength=200,
        )
    ),
}
_ORDER: Shape = {
    **obj(ORDER_FIELDS, required=[], additionalProperties=True),
    "anyOf": [
        {"required": [name], "properties": {name: {"type": kind}}}
        for name, kind in (("generation_params", "object"), ("generation_info_raw", "string"))
    ],
}
_V1_ORDER = obj(
    {
        "generation_params": ref("GenerationParams"),
        **{n: ORDER_FIELDS[n] for n in ("target_server_alias", "app_type", "source_info")},
    },
    required=["generation_params"],
    additionalProperties=True,
)
_DELETED = const_true("Only there, and true, when the job of this idempotency key was deleted.")

_SUBMITTED = enveloped(
    {
        "mobilesd_job_id": nullable(uuid("The job's id; null only if it is gone for good.")),
        "queue_position": nullable(whole("Place in the queue, from 1.", 1)),
        "app_type": text(),
        "creation_timestamp": moment(),
        "target_server_alias": nullable(text()),
        "estimated_start_time": nullable(moment("If that can be told.")),
        "warnings": listed(text(), "What was changed or is not known."),
        "deleted": _DELETED,
    },
    required=["success", "mobilesd_job_id", "warnings"],
)
_SUBMITTED_EXAMPLE: dict[str, Any] = {
    "success": True,
    "mobilesd_job_id": EXAMPLE_ID,
    "queue_position": 2,
    "app_type": settings.DEFAULT_APP_TYPE,
    "creation_timestamp": "2026-01-31T18:00:00.000Z",
    "target_server_alias": None,
    "estimated_start_time": None,
    "warnings": [],
}
SUBMISSIONS: dict[int, Answer] = {
    202: Answer("The job is in the queue.", _SUBMITTED, _SUBMITTED_EXAMPLE),
    200: Answer(
        "The job of the same `idempotency_key`, submitted before.",
        _SUBMITTED,
        {**_SUBMITTED_EXAMPLE, "queue_position": None},
    ),
}
_V1_SUBMITTED = obj(
    {"mobilesd_job_id": nullable(uuid("The job's id.")), "deleted": _DELETED},
    required=["mobilesd_job_id"],
)

OPERATIONS: Operations = {
    ("POST", "/api/v1/generate"): Operation(
        name="v1_generate",
        tag="Jobs (v1)",
        summary="Submit a job.",
        body=Body(_V1_ORDER, {"text to picture": {"generation_params": EXAMPLE_PARAMS}}),
        answers={
            202: Answer("The job is in the queue.", _V1_SUBMITTED, {"mobilesd_job_id": EXAMPLE_ID}),
            200: Answer(
                "The job of the same `idempotency_key`, submitted before.",
                _V1_SUBMITTED,
                {"mobilesd_job_id": EXAMPLE_ID},
            ),
        },
        errors=ERRORS,
    ),
    ("POST", "/api/v2/generate"): Operation(
        name="generate",
        tag="Jobs",
        summary="Submit a job.",
        description=(
            "Put a job into the queue. Nothing is written when anything is wrong with it. Send an"
            " `idempotency_key`, and a request whose answer was lost may be sent again: it gives"
            " the same job, with 200 instead of 202."
        ),
        body=Body(
            _ORDER,
            {
                "text to picture": {
                    "generation_params": EXAMPLE_PARAMS,
                    "source_info": "my-extension 1.2",
                    "idempotency_key": "order-2026-01-31-0001",
                },
                "infotext": {
                    "generation_info_raw": "a lighthouse\nSteps: 20, Sampler: Euler a, Seed: 42"
                },
                "another job's picture, made larger": {
                    "generation_params": {
                        "kind": "upscale",
                        "init_images": [{"job": EXAMPLE_ID, "image": 0}],
                        "upscaler": "R-ESRGAN 4x+",
                        "upscale_by": 2,
                    }
                },
                "made from another job's picture": {
                    "generation_params": {
                        "positive_prompt": "a lighthouse at dusk, oil painting",
                        "init_images": [{"job": EXAMPLE_ID, "image": 0}],
                        "denoising_strength": 0.5,
                    },
                    "depends_on": [EXAMPLE_ID],
                },
                "small": {"generation_params": {"positive_prompt": "a lighthouse at dusk"}},
            },
        ),
        answers=SUBMISSIONS,
        errors=ERRORS,
    ),
}
