"""Webhooks (docs/api/webhooks.md)."""

from typing import Any

from jobs.models import DeliveryState
from jobs.webhooks.fanout import ALL_KINDS
from jobs.webhooks.services import KINDS, MAX_EACH
from mobilesd.schema.common import PAGE_COUNTS, PAGING
from mobilesd.schema.operations import Answer, Body, Operation, Operations, query
from mobilesd.schema.shapes import (
    Shape,
    enveloped,
    flag,
    listed,
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

__all__ = ["COMPONENTS", "OPERATIONS"]

_ID = "c3d2a6f4-2f0a-4b58-9d3e-1a2b3c4d5e6f"
_DELIVERY_ID = "e8a4f1b2-7c3d-4e5f-8a9b-0c1d2e3f4a5b"
_PATH = {"webhook_id": uuid("The webhook's id.", example=_ID)}
_DELIVERY_PATH = {
    **_PATH,
    "delivery_id": uuid("The id of a line of the log.", example=_DELIVERY_ID),
}

_WEBHOOK: dict[str, Shape] = {
    "id": uuid(),
    "url": text("Where deliveries go."),
    "events": listed(word([*KINDS, ALL_KINDS]), f"What it is told of; `{ALL_KINDS}`: all."),
    "is_active": flag("Whether it is told."),
    "off_reason": nullable(text("Why MobileSD switched it off, if it did.")),
    "all_jobs": flag("Whether it is told of everybody's jobs."),
    "api_key_id": nullable(text("The key that made it.")),
    "failures_in_row": whole("Tries that failed since the last success.", 0),
    "failing_since": nullable(moment("The first of them.")),
    "created_at": moment(),
}
_DELIVERY: dict[str, Shape] = {
    "id": uuid("Of this line of the log."),
    "delivery_id": uuid("What the receiver knows it by, over all tries and replays."),
    "webhook_id": uuid(),
    "event_id": nullable(whole("The event; null for a test.")),
    "type": text("The kind of event."),
    "state": word(DeliveryState.values, "Where it stands."),
    "tries": whole("How often it was sent.", 0),
    "last_status": nullable(whole("The HTTP status of the last answer.")),
    "last_error": nullable(text("What went wrong with the last try.")),
    "milliseconds": nullable(number("How long the last try took.")),
    "created_at": moment(),
    "next_try_at": nullable(moment("When it is sent, if it waits.")),
    "ended_at": nullable(moment()),
    "replay_of": nullable(uuid("The delivery that this one repeats.")),
}
COMPONENTS: dict[str, Shape] = {
    "Webhook": obj(_WEBHOOK, "An address that is told of events; never with its secret."),
    "NewWebhook": obj(
        {**_WEBHOOK, "secret": text("Signs the deliveries; it is in this answer only.")},
        "A webhook with its secret.",
    ),
    "Delivery": obj(_DELIVERY, "One telling of one event."),
    "SentDelivery": obj(
        {**_DELIVERY, "body": text("What is sent, byte for byte.")}, "A delivery with its body."
    ),
}
_EXAMPLE: dict[str, Any] = {
    "id": _ID,
    "url": "https://example.org/mobilesd",
    "events": ["job.status", "image.created"],
    "is_active": True,
    "off_reason": None,
    "all_jobs": False,
    "api_key_id": "dGVzdHBy",
    "failures_in_row": 0,
    "failing_since": None,
    "created_at": "2026-01-31T18:00:00.000Z",
}
_DELIVERY_EXAMPLE: dict[str, Any] = {
    "id": _DELIVERY_ID,
    "delivery_id": _DELIVERY_ID,
    "webhook_id": _ID,
    "event_id": 815,
    "type": "job.status",
    "state": "delivered",
    "tries": 1,
    "last_status": 204,
    "last_error": None,
    "milliseconds": 41.7,
    "created_at": "2026-01-31T18:00:21.480Z",
    "next_try_at": None,
    "ended_at": "2026-01-31T18:00:21.560Z",
    "replay_of": None,
}
_COUNTS = {"total": 1, "total_is_exact": True, "next_cursor": None}
_ON_ITS_WAY = {
    **_DELIVERY_EXAMPLE,
    "state": "pending",
    "tries": 0,
    "last_status": None,
    "milliseconds": None,
    "next_try_at": "2026-01-31T18:00:21.480Z",
    "ended_at": None,
}
_FIELDS: dict[str, Shape] = {
    "url": text(
        "Where deliveries go: http or https, public or in the LAN.",
        minLength=1,
        maxLength=1000,
        format="uri",
    ),
    "events": listed(
        word([*KINDS, ALL_KINDS]), f"What to tell of; `{ALL_KINDS}`: all.", minItems=1
    ),
    "secret": nullable(text("Signs the deliveries. Leave it out, and a good one is made.")),
    "is_active": nullable(flag("Whether to tell.", default=True)),
}


def _one(message: str, component: str, example: dict[str, Any], field: str) -> Answer:
    shape = enveloped({"message": text("What was done."), field: ref(component)})
    return Answer(message, shape, {"success": True, "message": message, field: example})


OPERATIONS: Operations = {
    ("GET", "/api/v2/webhooks"): Operation(
        name="webhooks",
        tag="Webhooks",
        summary="List your webhooks, newest first.",
        parameters=PAGING,
        answers={
            200: Answer(
                "The webhooks.",
                enveloped({**PAGE_COUNTS, "webhooks": listed(ref("Webhook"))}),
                {"success": True, **_COUNTS, "webhooks": [_EXAMPLE]},
            )
        },
    ),
    ("POST", "/api/v2/webhooks"): Operation(
        name="create_webhook",
        tag="Webhooks",
        summary="Make a webhook.",
        description=(
            "Tell an address of events from now on. Deliveries are signed with the secret, which"
            f" is in this answer only. One owner may have {MAX_EACH}. Needs `jobs:read` as well."
        ),
        body=Body(
            obj(_FIELDS, required=["url", "events"], additionalProperties=False),
            {"jobs": {"url": "https://example.org/mobilesd", "events": ["job.status"]}},
        ),
        answers={
            201: _one(
                "The webhook is made. Keep its secret: it is not shown again.",
                "NewWebhook",
                {**_EXAMPLE, "secret": "s" * 43},
                "webhook",
            )
        },
        errors=("unsupported_parameter", "limit_reached"),
    ),
    ("GET", "/api/v2/webhooks/{webhook_id}"): Operation(
        name="webhook",
        tag="Webhooks",
        summary="Show a webhook.",
        path=_PATH,
        answers={
            200: Answer(
                "The webhook.",
                enveloped({"webhook": ref("Webhook")}),
                {"success": True, "webhook": _EXAMPLE},
            )
        },
    ),
    ("PATCH", "/api/v2/webhooks/{webhook_id}"): Operation(
        name="change_webhook",
        tag="Webhooks",
        summary="Change a webhook.",
        description="Change what the body names; the rest stays. Needs `jobs:read` as well.",
        path=_PATH,
        body=Body(
            obj(
                {**_FIELDS, "url": nullable(_FIELDS["url"]), "events": nullable(_FIELDS["events"])},
                required=[],
                additionalProperties=False,
            ),
            {"switch off": {"is_active": False}},
        ),
        answers={
            200: _one(
                "The webhook is changed.", "Webhook", {**_EXAMPLE, "is_active": False}, "webhook"
            )
        },
        errors=("unsupported_parameter",),
    ),
    ("DELETE", "/api/v2/webhooks/{webhook_id}"): Operation(
        name="delete_webhook",
        tag="Webhooks",
        summary="Delete a webhook with its log.",
        path=_PATH,
        answers={
            200: Answer(
                "It is deleted.",
                enveloped({"message": text("What was done.")}),
                {"success": True, "message": "The webhook and its log are deleted."},
            )
        },
    ),
    ("POST", "/api/v2/webhooks/{webhook_id}/test"): Operation(
        name="test_webhook",
        tag="Webhooks",
        summary="Send a delivery that says only that it arrives.",
        path=_PATH,
        answers={202: _one("A test is on its way.", "Delivery", _ON_ITS_WAY, "delivery")},
        errors=("webhook_off", "limit_reached"),
    ),
    ("GET", "/api/v2/webhooks/{webhook_id}/deliveries"): Operation(
        name="deliveries",
        tag="Webhooks",
        summary="List the deliveries of a webhook, newest first.",
        path=_PATH,
        parameters=(
            query("state", word(DeliveryState.values, "Only deliveries that stand there.")),
            *PAGING,
        ),
        answers={
            200: Answer(
                "The deliveries.",
                enveloped({**PAGE_COUNTS, "deliveries": listed(ref("Delivery"))}),
                {"success": True, **_COUNTS, "deliveries": [_DELIVERY_EXAMPLE]},
            )
        },
    ),
    ("GET", "/api/v2/webhooks/{webhook_id}/deliveries/{delivery_id}"): Operation(
        name="delivery",
        tag="Webhooks",
        summary="Show a delivery with the body that was sent.",
        path=_DELIVERY_PATH,
        answers={
            200: Answer(
                "The delivery.",
                enveloped({"delivery": ref("SentDelivery")}),
                {"success": True, "delivery": {**_DELIVERY_EXAMPLE, "body": "{}"}},
            )
        },
    ),
    ("POST", "/api/v2/webhooks/{webhook_id}/deliveries/{delivery_id}/replay"): Operation(
        name="replay_delivery",
        tag="Webhooks",
        summary="Send a delivery again.",
        description="Send a delivery again, with the same body and the same id for the receiver.",
        path=_DELIVERY_PATH,
        answers={202: _one("The delivery is sent again.", "Delivery", _ON_ITS_WAY, "delivery")},
        errors=("webhook_off", "limit_reached"),
    ),
}
