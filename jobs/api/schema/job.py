"""The job as it is emitted (jobs.api.serializers)."""

from typing import Any

from django.conf import settings

from jobs.api.schema.params import EXAMPLE_PARAMS
from jobs.choices import Kind, LaneClass, Status
from jobs.models import OnFailure
from jobs.ports import BUTTON_KINDS
from mobilesd.schema.shapes import (
    Shape,
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

__all__ = ["COMPONENTS", "EXAMPLE_DONE", "EXAMPLE_ID", "EXAMPLE_JOB", "JOB_ID"]

EXAMPLE_ID = "0b7f6d52-0d0e-4f57-9f5e-2a5f6c1f4f10"
_IMAGE_ID = "7a1c3c1e-5e1b-4a53-8f0e-0f6a0a3e5b11"
JOB_ID = {"job_id": uuid("The job's id, `mobilesd_job_id`.", example=EXAMPLE_ID)}

_WARNINGS = listed(text(), "What was changed or could not be taken as it was asked for.")

COMPONENTS: dict[str, Shape] = {
    "Job": obj(
        {
            "mobilesd_job_id": uuid("The job's id."),
            "status": word(Status.values, "Where the job stands; the last three are final."),
            "app_type": text("What kind of server makes it."),
            "kind": word(Kind.values, "What is done."),
            "source_info": nullable(text("Who sent it, as they said.")),
            "api_key_id": nullable(text("Prefix of the key that sent it.")),
            "target_server_alias": nullable(text("The server that was asked for; null: any.")),
            "server_alias": nullable(text("The server that has it or had it.")),
            "generation_params": ref("GenerationParams"),
            "warnings": _WARNINGS,
            "priority": whole("1 comes first, 10 last.", 1, 10),
            "lane": word(
                LaneClass.values,
                "Interactive jobs go before background ones, and between the rounds (`n_iter`) of"
                " one that runs.",
            ),
            "not_before": nullable(moment("It waits until then.")),
            "deadline": nullable(moment("It is given up then, unless it has begun.")),
            "queue_position": nullable(
                whole("Place in the queue from 1; null when it does not wait, or beyond 1,000.", 1)
            ),
            "waiting_reason": nullable(ref("WaitingReason")),
            "progress": number("How far it is.", 0, 1),
            "progress_text": text("The same in words."),
            "estimated_time_remaining": nullable(number("Seconds, if that can be told.", 0)),
            "estimated_start_time": nullable(moment("If that can be told.")),
            "retry_count": whole("How often it was tried again.", 0),
            "depends_on": listed(uuid(), "Jobs that it waits for, or waited for."),
            "dependencies": listed(
                obj(
                    {
                        "job": uuid(),
                        "on_failure": word(
                            OnFailure.values,
                            "Whether this job fails with that one, or runs all the same.",
                        ),
                        "status": word(Status.values, "Where that job stands."),
                    }
                ),
                "The same jobs, with where they stand.",
            ),
            "batch_id": nullable(uuid("The bulk submission that it belongs to.")),
            "creation_timestamp": moment(),
            "last_updated_timestamp": moment(),
            "started_timestamp": nullable(moment()),
            "completion_timestamp": nullable(moment("When it came to its end, whatever end.")),
            "forge_session_hash": {"type": "null", "description": "Kept for old clients."},
            "error": nullable(ref("JobError")),
            "result_details": nullable(ref("Result")),
        },
        "A job, as it is now.",
    ),
    "WaitingReason": obj(
        {
            "code": text("For programs."),
            "message": text("Why the job waits."),
            "action": text("What can be done about it; may be empty."),
            "buttons": listed(
                obj(
                    {
                        "label": text("For people."),
                        "kind": word(BUTTON_KINDS, "What it does."),
                        "target": text(
                            "With what: an alias, an app type, a batch, a job, or nothing."
                        ),
                    }
                ),
                "What a person could do about it with one click.",
            ),
        },
        "Why a pending job waits.",
    ),
    "JobError": obj(
        {
            "code": text("For programs."),
            "message": text("What went wrong."),
            "hint": text("What to do about it."),
        },
        "Why a job failed.",
    ),
    "Result": obj(
        {
            "images": listed(text(), "File names."),
            "image_ids": listed(uuid(), "Ids in the gallery, in the same order."),
            "image_urls": listed(text(), "Where to get them, with the same key."),
            "thumbnail_urls": listed(text(), "Small copies of them."),
            "generation_info": mapping(True, "What the server says of how it made them."),
            "warnings": _WARNINGS,
            "info": text("The first picture's infotext."),
        },
        "What a job made. A background job of several rounds has the pictures of those that are"
        " done, whatever its status.",
    ),
}

EXAMPLE_JOB: dict[str, Any] = {
    "mobilesd_job_id": EXAMPLE_ID,
    "status": "pending",
    "app_type": settings.DEFAULT_APP_TYPE,
    "kind": "txt2img",
    "source_info": "my-extension 1.2",
    "api_key_id": "dGVzdHBy",
    "target_server_alias": None,
    "server_alias": None,
    "generation_params": EXAMPLE_PARAMS,
    "warnings": [],
    "priority": 5,
    "lane": "interactive",
    "not_before": None,
    "deadline": None,
    "queue_position": 2,
    "waiting_reason": {
        "code": "server_offline",
        "message": "gpu has been offline for 4 min. It does not answer.",
        "action": "Start the server, or test the connection.",
        "buttons": [{"label": "Test the connection", "kind": "test_server", "target": "gpu"}],
    },
    "progress": 0.0,
    "progress_text": "",
    "estimated_time_remaining": None,
    "estimated_start_time": None,
    "retry_count": 0,
    "depends_on": [],
    "dependencies": [],
    "batch_id": None,
    "creation_timestamp": "2026-01-31T18:00:00.000Z",
    "last_updated_timestamp": "2026-01-31T18:00:00.000Z",
    "started_timestamp": None,
    "completion_timestamp": None,
    "forge_session_hash": None,
    "error": None,
    "result_details": None,
}
EXAMPLE_DONE: dict[str, Any] = {
    **EXAMPLE_JOB,
    "status": "completed",
    "server_alias": "gpu",
    "queue_position": None,
    "waiting_reason": None,
    "progress": 1.0,
    "last_updated_timestamp": "2026-01-31T18:00:21.480Z",
    "started_timestamp": "2026-01-31T18:00:09.112Z",
    "completion_timestamp": "2026-01-31T18:00:21.480Z",
    "result_details": {
        "images": ["00042-a-lighthouse.png"],
        "image_ids": [_IMAGE_ID],
        "image_urls": [f"/api/v1/gallery/images/{_IMAGE_ID}/file"],
        "thumbnail_urls": [f"/api/v1/gallery/images/{_IMAGE_ID}/thumbnail"],
        "generation_info": {"prompt": EXAMPLE_PARAMS["positive_prompt"], "seed": 42},
        "warnings": [],
        "info": "a lighthouse at dusk, oil painting\nSteps: 20, Sampler: Euler a, Seed: 42",
    },
}
