"""Notifiers (docs/api/notifiers.md)."""

from typing import Any

from jobs.notifications.addresses import MAX_ADDRESS
from jobs.notifications.services import MAX_EACH
from jobs.notifications.words import KINDS
from mobilesd.schema.common import PAGE_COUNTS, PAGING
from mobilesd.schema.operations import Answer, Body, Operation, Operations
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

__all__ = ["COMPONENTS", "OPERATIONS"]

_ID = "7b0f4c1e-53c8-4f0e-9a53-2f6f0a4b8d11"
_PATH = {"notifier_id": uuid("The notifier's id.", example=_ID)}
_TAG = "Notifiers"

COMPONENTS: dict[str, Shape] = {
    "Notifier": obj(
        {
            "id": uuid(),
            "name": text("For its owner."),
            "service": text("What kind of address it has; the address is never shown."),
            "kinds": listed(word(list(KINDS)), "What it tells."),
            "quiet_hours": text("When nothing is sent; it comes as one message afterwards."),
            "time_zone": text("Of the quiet hours; empty: the installation's."),
            "is_active": flag("Whether it tells anything."),
            "last_sent_at": nullable(moment("When a message was taken last.")),
            "last_error": nullable(text("What went wrong with the last try, if it did.")),
            "created_at": moment(),
        },
        "Where somebody is told what happened.",
    ),
}
_EXAMPLE: dict[str, Any] = {
    "id": _ID,
    "name": "My phone",
    "service": "ntfy",
    "kinds": ["done", "failed"],
    "quiet_hours": "23:00-07:00",
    "time_zone": "Europe/Berlin",
    "is_active": True,
    "last_sent_at": "2026-01-31T18:00:21.480Z",
    "last_error": None,
    "created_at": "2026-01-31T18:00:00.000Z",
}
_FIELDS: dict[str, Shape] = {
    "url": text(
        "The address in apprise's form, such as ntfys://ntfy.sh/my-topic. Kept encrypted, never"
        " shown again.",
        minLength=1,
        maxLength=MAX_ADDRESS,
    ),
    "kinds": listed(word(list(KINDS)), "What it tells.", minItems=1),
    "name": nullable(text("For its owner.", maxLength=100)),
    "quiet_hours": nullable(text('Such as "23:00-07:00".', maxLength=200)),
    "time_zone": nullable(text('Such as "Europe/Berlin".', maxLength=64)),
    "is_active": nullable(flag(default=True)),
}
_NEEDED = ("url", "kinds")
_BODY_EXAMPLE = {
    "url": "ntfys://ntfy.sh/my-topic",
    "kinds": ["done", "failed"],
    "name": "My phone",
    "quiet_hours": "23:00-07:00",
    "time_zone": "Europe/Berlin",
}


def _one(message: str = "") -> tuple[Shape, dict[str, Any]]:
    words: dict[str, Shape] = {"message": text()} if message else {}
    told = {"message": message} if message else {}
    return (
        enveloped({**words, "notifier": ref("Notifier")}),
        {"success": True, **told, "notifier": _EXAMPLE},
    )


OPERATIONS: Operations = {
    ("GET", "/api/v2/notifiers"): Operation(
        name="notifiers",
        tag=_TAG,
        summary="List your notifiers.",
        description="List your notifiers, newest first. A key without an owner has none.",
        parameters=PAGING,
        answers={
            200: Answer(
                "A page of notifiers.",
                enveloped({**PAGE_COUNTS, "notifiers": listed(ref("Notifier"))}),
                {
                    "success": True,
                    "total": 1,
                    "total_is_exact": True,
                    "next_cursor": None,
                    "notifiers": [_EXAMPLE],
                },
            )
        },
    ),
    ("POST", "/api/v2/notifiers"): Operation(
        name="create_notifier",
        tag=_TAG,
        summary="Make a notifier.",
        description=f"Make a notifier; one owner may have {MAX_EACH}.",
        body=Body(
            obj(_FIELDS, required=["url", "kinds"], additionalProperties=False),
            {"phone": _BODY_EXAMPLE},
        ),
        answers={
            201: Answer("The notifier is made.", *_one("The notifier is made. Send it a test."))
        },
        errors=("job_operation_conflict", "limit_reached", "unsupported_parameter"),
    ),
    ("GET", "/api/v2/notifiers/{notifier_id}"): Operation(
        name="notifier",
        tag=_TAG,
        summary="Show a notifier.",
        path=_PATH,
        answers={200: Answer("The notifier.", *_one())},
        errors=("not_found",),
    ),
    ("PATCH", "/api/v2/notifiers/{notifier_id}"): Operation(
        name="change_notifier",
        tag=_TAG,
        summary="Change a notifier.",
        description="Change what the body names. Switched on again, it tells what happens then.",
        path=_PATH,
        body=Body(
            obj(
                {name: _FIELDS[name] for name in _FIELDS if name not in _NEEDED}
                | {name: nullable(_FIELDS[name]) for name in _NEEDED},
                required=[],
                additionalProperties=False,
            ),
            {"at night": {"quiet_hours": "22:00-08:00"}, "off": {"is_active": False}},
        ),
        answers={200: Answer("The notifier is changed.", *_one("The notifier is changed."))},
        errors=("not_found", "unsupported_parameter"),
    ),
    ("DELETE", "/api/v2/notifiers/{notifier_id}"): Operation(
        name="delete_notifier",
        tag=_TAG,
        summary="Delete a notifier.",
        description="Delete a notifier with what it has not told yet.",
        path=_PATH,
        answers={
            200: Answer(
                "The notifier is deleted.",
                enveloped({"message": text()}),
                {"success": True, "message": "The notifier is deleted."},
            )
        },
        errors=("not_found",),
    ),
    ("POST", "/api/v2/notifiers/{notifier_id}/test"): Operation(
        name="test_notifier",
        tag=_TAG,
        summary="Send a test.",
        description="Send a message that says only that it arrives, also in quiet hours.",
        path=_PATH,
        answers={
            202: Answer(
                "A test is on its way.",
                enveloped({"message": text()}),
                {"success": True, "message": "A test is on its way."},
            )
        },
        errors=("not_found", "job_operation_conflict", "limit_reached"),
    ),
}
