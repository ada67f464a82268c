"""Presets, and the queue as a file (docs/importing.md)."""

from typing import Any

from django.conf import settings

from jobs.api.schema.changes import UNDO, UNDO_EXAMPLE
from jobs.services.presets import MAX_DESCRIPTION, MAX_NAME, ON_CONFLICT
from mobilesd.schema.common import PAGE_COUNTS, PAGING
from mobilesd.schema.operations import Answer, Body, Operation, Operations, query
from mobilesd.schema.shapes import (
    Shape,
    enveloped,
    flag,
    listed,
    mapping,
    moment,
    nullable,
    obj,
    ref,
    text,
    uuid,
    whole,
    word,
)

__all__ = ["COMPONENTS", "OPERATIONS"]

_ID = "7b1d7c0e-5a39-4f0e-8a0f-0b6f3a1c2d4e"
_JOB = "3d0c9a52-8f5e-4c7b-9c50-2f6a1b7e8d90"
_PATH = {"preset_id": uuid("The preset's id.", example=_ID)}
_PARAMS: dict[str, Any] = {"steps": 24, "cfg_scale": 6, "sampler_name": "Euler a"}

_FIELDS: dict[str, Shape] = {
    "name": text("Unique among your presets.", minLength=1, maxLength=MAX_NAME),
    "description": nullable(text("For people.", maxLength=MAX_DESCRIPTION)),
    "app_type": nullable(text("What kind of server it is for.", maxLength=32)),
    "generation_params": mapping(description="As of an order, without pictures."),
    "shared": nullable(flag("Whether everybody may use it.")),
}
_CONTENT: dict[str, Shape] = {
    "name": text(),
    "description": text(),
    "app_type": text(),
    "generation_params": mapping(description="Canonical names; no seed unless one was given."),
}
_DOCUMENT: dict[str, Shape] = {
    "mobilesd": word(["presets"], "What the document is."),
    "version": whole("Of the format.", 1, 1),
    "presets": listed(obj(_CONTENT)),
}
_QUEUE: dict[str, Shape] = {
    "mobilesd": word(["queue"], "What the document is."),
    "version": whole("Of the format.", 1, 1),
    "exported_at": moment(),
    "files": listed(mapping(description="An input file: `sha256`, and its bytes as `base64`.")),
    "batches": listed(mapping(description="What was submitted together.")),
    "jobs": listed(mapping(description="A waiting job, in the order of the queue.")),
}
COMPONENTS: dict[str, Shape] = {
    "Preset": obj(
        {
            "id": uuid(),
            **_CONTENT,
            "shared": flag("Whether everybody may use it."),
            "owner": nullable(text("Whose it is; null: the installation's.")),
            "may_change": flag("Whether you may change it."),
            "created_at": moment(),
            "updated_at": moment(),
        },
        "Parameters with a name.",
    ),
    "PresetDocument": obj(_DOCUMENT, "Presets to pass on."),
    "QueueDocument": obj(_QUEUE, "Waiting jobs, with their pictures, to pass on."),
}
_EXAMPLE: dict[str, Any] = {
    "id": _ID,
    "name": "Portrait",
    "description": "",
    "app_type": settings.DEFAULT_APP_TYPE,
    "generation_params": _PARAMS,
    "shared": False,
    "owner": "anna",
    "may_change": True,
    "created_at": "2026-01-31T18:00:00.000Z",
    "updated_at": "2026-01-31T18:00:00.000Z",
}
_DOCUMENT_EXAMPLE: dict[str, Any] = {
    "mobilesd": "presets",
    "version": 1,
    "presets": [
        {
            "name": "Portrait",
            "description": "",
            "app_type": settings.DEFAULT_APP_TYPE,
            "generation_params": _PARAMS,
        }
    ],
}
_QUEUE_EXAMPLE: dict[str, Any] = {
    "mobilesd": "queue",
    "version": 1,
    "exported_at": "2026-01-31T18:00:00.000Z",
    "files": [],
    "batches": [],
    "jobs": [
        {
            "id": _JOB,
            "app_type": settings.DEFAULT_APP_TYPE,
            "generation_params": {"positive_prompt": "a lighthouse", "seed": 1},
            "priority": 5,
            "lane": "interactive",
            "target_server_alias": None,
        }
    ],
}


def _one(message: str, example: dict[str, Any] = _EXAMPLE) -> Answer:
    shape = enveloped({"message": text("What was done."), "preset": ref("Preset")})
    return Answer(message, shape, {"success": True, "message": message, "preset": example})


OPERATIONS: Operations = {
    ("GET", "/api/v2/presets"): Operation(
        name="presets",
        tag="Presets",
        summary="List the presets that you may use, newest first.",
        description="Your own, the shared ones, and the installation's.",
        parameters=PAGING,
        answers={
            200: Answer(
                "The presets.",
                enveloped({**PAGE_COUNTS, "presets": listed(ref("Preset"))}),
                {
                    "success": True,
                    "total": 1,
                    "total_is_exact": True,
                    "next_cursor": None,
                    "presets": [_EXAMPLE],
                },
            )
        },
    ),
    ("POST", "/api/v2/presets"): Operation(
        name="create_preset",
        tag="Presets",
        summary="Save a preset.",
        description=(
            "Of `generation_params`, checked as those of an order, or of a `job`'s. It holds no"
            " pictures, and a seed only if one is given."
        ),
        body=Body(
            obj(
                {
                    **_FIELDS,
                    "generation_params": nullable(_FIELDS["generation_params"]),
                    "job": nullable(uuid("Take the parameters of this job.")),
                },
                required=["name"],
                additionalProperties=False,
            ),
            {
                "parameters": {"name": "Portrait", "generation_params": _PARAMS},
                "of a job": {"name": "As this one", "job": _JOB},
            },
        ),
        answers={201: _one("Saved.")},
        errors=(
            "unsupported_parameter",
            "already_exists",
            "limit_reached",
            "app_type_not_allowed",
            "job_not_found",
        ),
    ),
    ("GET", "/api/v2/presets/{preset_id}"): Operation(
        name="preset",
        tag="Presets",
        summary="Show a preset.",
        path=_PATH,
        answers={
            200: Answer(
                "The preset.",
                enveloped({"preset": ref("Preset")}),
                {"success": True, "preset": _EXAMPLE},
            )
        },
    ),
    ("PATCH", "/api/v2/presets/{preset_id}"): Operation(
        name="change_preset",
        tag="Presets",
        summary="Change a preset.",
        description="Change what the body names; the parameters are replaced as a whole.",
        path=_PATH,
        body=Body(
            obj(
                {
                    **_FIELDS,
                    "name": nullable(_FIELDS["name"]),
                    "generation_params": nullable(_FIELDS["generation_params"]),
                },
                required=[],
                additionalProperties=False,
            ),
            {"share": {"shared": True}},
        ),
        answers={200: _one("Changed.", {**_EXAMPLE, "shared": True})},
        errors=(
            "unsupported_parameter",
            "already_exists",
            "preset_not_yours",
            "app_type_not_allowed",
        ),
    ),
    ("DELETE", "/api/v2/presets/{preset_id}"): Operation(
        name="delete_preset",
        tag="Presets",
        summary="Delete a preset.",
        description="Jobs that were made with it stay as they are.",
        path=_PATH,
        answers={
            200: Answer(
                "Done.",
                enveloped({"message": text("What was done."), "undo": UNDO}),
                {"success": True, "message": "The preset is deleted.", "undo": UNDO_EXAMPLE},
            )
        },
        errors=("preset_not_yours",),
    ),
    ("GET", "/api/v2/presets/export"): Operation(
        name="export_presets",
        tag="Presets",
        summary="Return presets as a document.",
        description="Those that `id` names, or all of your own.",
        parameters=(query("id", uuid("Of a preset."), repeated=True),),
        answers={200: Answer("The document.", ref("PresetDocument"), _DOCUMENT_EXAMPLE)},
        errors=("not_found",),
    ),
    ("POST", "/api/v2/presets/import"): Operation(
        name="import_presets",
        tag="Presets",
        summary="Take in a document of presets.",
        description=(
            "All of it, or nothing. What is there with the same name and content is left as it"
            " is, so importing twice changes nothing. A name with another content is refused,"
            " unless `on_conflict` says otherwise."
        ),
        body=Body(
            obj(
                {
                    **_DOCUMENT,
                    "presets": listed(mapping(), "The presets.", minItems=1),
                    "on_conflict": nullable(
                        word(ON_CONFLICT, "What to do with a name that is there.")
                    ),
                },
                required=["mobilesd", "version", "presets"],
            ),
            {"one preset": _DOCUMENT_EXAMPLE},
        ),
        answers={
            200: Answer(
                "What became of them.",
                enveloped(
                    {
                        "made": listed(ref("Preset")),
                        "replaced": listed(ref("Preset")),
                        "unchanged": listed(ref("Preset"), "They were there already."),
                    }
                ),
                {"success": True, "made": [_EXAMPLE], "replaced": [], "unchanged": []},
            )
        },
        errors=(
            "unsupported_parameter",
            "already_exists",
            "limit_reached",
            "app_type_not_allowed",
            "payload_too_large",
        ),
    ),
    ("GET", "/api/v2/queue/export"): Operation(
        name="export_queue",
        tag="Queue",
        summary="Return your waiting jobs as a document.",
        description=(
            "In the order of the queue, with the pictures that they start from. It names no"
            " owners and no keys. More than 64 MB are refused: `manage.py export_queue` writes any"
            " size."
        ),
        answers={200: Answer("The document.", ref("QueueDocument"), _QUEUE_EXAMPLE)},
        errors=("payload_too_large",),
    ),
    ("POST", "/api/v2/queue/import"): Operation(
        name="import_queue",
        tag="Queue",
        summary="Take in a document of waiting jobs.",
        description=(
            "All jobs or none. They become yours and stand at the end of the queue, in their own"
            " order. A job that was imported before, or that is here already, is left out, so"
            " importing twice makes no second job. A server that is not here becomes any server,"
            " with a warning."
        ),
        parameters=(query("dry_run", flag("Only say what would happen."), example=False),),
        body=Body(
            obj(
                {
                    "mobilesd": word(["queue"]),
                    "version": whole("Of the format.", 1, 1),
                    "files": nullable(listed(mapping())),
                    "batches": nullable(listed(mapping())),
                    "jobs": listed(mapping()),
                },
                required=["mobilesd", "version", "jobs"],
            ),
            {"one job": _QUEUE_EXAMPLE},
        ),
        answers={
            200: Answer(
                "What became of them.",
                enveloped(
                    {
                        "dry_run": flag("Whether nothing was changed."),
                        "made": listed(uuid("Of a new job."), "In their order."),
                        "already_here": listed(uuid("Of the document's job.")),
                        "warnings": listed(text()),
                    }
                ),
                {
                    "success": True,
                    "dry_run": False,
                    "made": [_JOB],
                    "already_here": [],
                    "warnings": [],
                },
            )
        },
        errors=(
            "payload_too_large",
            "app_type_not_allowed",
            "quota_exceeded",
            "submissions_closed",
            "storage_failed",
            "storage_low",
        ),
    ),
}
