"""The order in which the Postman collection visits the operations, and what one hands the next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["STREAMS", "TOUR", "Step"]


@dataclass(frozen=True)
class Step:
    """One request.

    `saves` maps variables to paths in the answer; `path` says which variable fills a parameter
    when it is not the one of its own name; without `body` the operation's first example is sent.
    """

    operation: str
    saves: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None


# Far in the future, so that the job still waits when the next requests come.
_LATER = "2099-01-01T00:00:00Z"
_ORDER = {
    "generation_params": {"positive_prompt": "a lighthouse at dusk", "steps": 4},
    "source_info": "postman",
    "not_before": _LATER,
}
_SERVER = {"alias": "postman", "apiUrl": "http://192.0.2.1:7860", "description": "for a moment"}

_KEY = {"name": "postman", "scopes": ["jobs:read"]}
_NOTIFIER = {"url": "json://198.51.100.1/postman", "kinds": ["queue_empty"]}
_PRESET = {"name": "postman", "generation_params": {"steps": 4}}
_PRESETS = {"mobilesd": "presets", "version": 1, "presets": [_PRESET]}
_HOURS = {"hours": "", "time_zone": ""}
_WEBHOOK = {"url": "https://198.51.100.1/postman", "events": ["job.deleted"]}
_BULK = {**_ORDER, "bulk_quantity": 3}
_EARLY = {**_BULK, "run_first": 1}
_TO_SERVER = {"alias": "server_alias"}
_TO_KEY = {"prefix": "key_id"}
_NOWHERE = {"server": "postman"}  # so that the tour pauses and clears nothing of anybody's

TOUR: Mapping[str, Sequence[Step]] = {
    "Health": (Step("status"), Step("healthz"), Step("readyz")),
    "Keys": (
        Step("whoami"),
        Step("v1_create_key", saves={"key_id": "api_key.id"}, body=_KEY),
        Step("v1_keys", query={"limit": 5}),
        Step("v1_key", path=_TO_KEY),
        Step("v1_change_key", path=_TO_KEY),
        Step("v1_put_key", path=_TO_KEY, body={"is_active": True}),
        Step("v1_rotate_key", path=_TO_KEY),
        Step("v1_revoke_key", path=_TO_KEY),
        Step("v1_delete_key", path=_TO_KEY),
    ),
    "Servers": (
        Step("v1_add_server", saves={"server_alias": "server.alias"}, body=_SERVER),
        Step("v1_servers"),
        Step("v1_server", path=_TO_SERVER),
        Step("v1_change_server", path=_TO_SERVER),
        Step("servers"),
        Step("server", path=_TO_SERVER),
        Step("change_server", path=_TO_SERVER, body=_HOURS),
        *(
            Step(f"v1_{name}")
            for name in (
                "checkpoints",
                "loras",
                "samplers",
                "schedulers",
                "upscalers",
                "vaes",
                "embeddings",
            )
        ),
    ),
    "Queue": (
        Step("queue"),
        Step("pause_queue", body=_NOWHERE),
        Step("resume_queue", body=_NOWHERE),
        Step("clear_queue", body=_NOWHERE),
        Step("change_queue_hours", body=_HOURS),
        Step("apply_queue_plan", body={"order": []}),
        Step("export_queue"),
        Step("import_queue", query={"dry_run": "true"}),
        Step("v1_settings"),
        Step("v1_change_settings"),
        Step("v1_queue_processing"),
        Step("v1_delete_server", path=_TO_SERVER),
    ),
    "Jobs": (
        Step("generate", saves={"other_id": "mobilesd_job_id"}, body=_ORDER),
        Step("generate", saves={"job_id": "mobilesd_job_id"}, body=_ORDER),
        Step("jobs", query={"status": "pending", "limit": 5}),
        Step("job_status", query={"wait": 0}),
        Step("job"),
        Step("change_job"),
        Step("move_job", body={"before": "{{other_id}}"}),
        Step("move_jobs", body={"jobs": ["{{job_id}}"], "to": "bottom"}),
        Step("prioritise_jobs", body={"jobs": ["{{job_id}}"], "priority": 4}),
        Step("try_job_now"),
        Step("duplicate_job", saves={"copy_id": "mobilesd_job_id"}),
        Step("job_history"),
        Step("cancel_jobs", saves={"undo_id": "undo.id"}, body={"jobs": ["{{copy_id}}"]}),
        Step("undo"),
        Step("delete_job", path={"job_id": "copy_id"}),
        Step("cancel_job"),
        Step("clear_finished", saves={"undo_id": "undo.id"}),
        Step("undo"),  # so that the tour takes away nothing of anybody's
        Step("retry_job"),
        Step("delete_job"),
        Step("delete_job", path={"job_id": "other_id"}),
    ),
    "Bulk": (
        Step("generate_bulk", saves={"batch_id": "bulk_job_id"}, body=_BULK),
        Step("bulk_status"),
        Step("cancel_bulk"),
        Step("retry_bulk"),
        Step("generate_bulk", saves={"batch_id": "bulk_job_id"}, body=_EARLY),
        Step("nod_batch", body={"go": False}),
    ),
    "Jobs (v1)": (
        Step("v1_generate", saves={"job_id": "mobilesd_job_id"}, body=_ORDER),
        Step("v1_jobs", query={"limit": 5}),
        Step("v1_job_status"),
        Step("v1_cancel_job"),
        Step("v1_delete_job"),
    ),
    "Pictures": (
        Step("images", query={"limit": 5}),
        Step("image"),
        Step("image_info"),
        Step("image_file"),
        Step("image_thumbnail", query={"size": 256}),
    ),
    "Pictures (v1)": (
        Step("v1_images", query={"limit": 5}),
        Step("v1_image"),
        Step("v1_image_info"),
        Step("v1_image_file"),
        Step("v1_image_thumbnail", query={"size": 256}),
    ),
    "Presets": (
        Step("create_preset", saves={"preset_id": "preset.id"}, body=_PRESET),
        Step("presets", query={"limit": 5}),
        Step("preset"),
        Step("export_presets"),
        Step("import_presets", body=_PRESETS),  # what is there already, so nothing new
        Step("change_preset", body={"description": "for a moment"}),
        Step("delete_preset"),
    ),
    "Notifiers": (
        Step("create_notifier", saves={"notifier_id": "notifier.id"}, body=_NOTIFIER),
        Step("notifiers", query={"limit": 5}),
        Step("notifier"),
        Step("test_notifier"),
        Step("change_notifier", body={"is_active": False}),
        Step("delete_notifier"),
    ),
    "Webhooks": (
        Step("create_webhook", saves={"webhook_id": "webhook.id"}, body=_WEBHOOK),
        Step("webhooks", query={"limit": 5}),
        Step("webhook"),
        Step("test_webhook", saves={"delivery_id": "delivery.id"}),
        Step("deliveries"),
        Step("delivery"),
        Step("replay_delivery"),
        Step("change_webhook"),
        Step("delete_webhook"),
    ),
}

# They do not end by themselves, so a run of the folders above leaves them out.
STREAMS: Sequence[Step] = (
    Step("events"),
    Step("queue_plan"),  # no stream, but 409 until something was learned of the servers
)
