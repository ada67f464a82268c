"""What the API's document says of keys."""

from typing import Any

from django.conf import settings

from apikeys.fields import DEFAULT_GRACE_SECONDS, MAX_GRACE_SECONDS, MAX_QUOTA, MAX_RATE
from apikeys.models.key import DEFAULT_RATE
from apikeys.scopes import DEFAULT_SCOPES, IN_WORDS, SCOPES
from mobilesd import VERSION
from mobilesd.schema.common import PAGE_COUNTS, PAGING
from mobilesd.schema.operations import Answer, Body, Operation, Operations
from mobilesd.schema.shapes import (
    Shape,
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
    whole,
    word,
)

__all__ = ["COMPONENTS", "OPERATIONS"]

_PREFIX = "dGVzdHBy"
_PATH = {"prefix": text("The key's id: its prefix.", minLength=1, pattern="^[^/]+$")}
_WARNINGS = listed(text(), "Only there when a field was not known and was ignored.")
_WORDS = "\n".join(f"- `{scope}`: {meaning}" for scope, meaning in IN_WORDS.items())
_WHO = (
    " People who are signed in manage their own keys, and give them no more than they may do"
    " themselves; staff, and keys with the scope `admin`, manage more."
)

_QUOTA = obj(
    {
        "limit": nullable(whole("In 24 hours; null: unlimited.")),
        "used": number("In the last 24 hours.", 0),
        "remaining": nullable(number("What is left; null: unlimited.", 0)),
        "frees_at": nullable(moment("When some of it is free again.")),
    }
)
_QUOTAS = {"jobs_per_day": _QUOTA, "gpu_seconds_per_day": _QUOTA}
_KEY: dict[str, Shape] = {
    "id": text("The key's id: its prefix."),
    "key": text("The prefix, `P`."),
    "name": text("What it is for."),
    "description": text(),
    "owner": nullable(text("Whose jobs it makes and sees; null: the installation.")),
    "scopes": listed(word(SCOPES), f"What it may do.\n{_WORDS}"),
    "allowed_app_types": listed(text(), "What it may submit jobs for; empty: anything."),
    "allowed_ips": listed(text(), "From where it may be used; empty: anywhere."),
    "rate_limit": whole(
        "Submissions a minute, and ten times as many other requests; 0: unlimited.", 0
    ),
    "jobs_per_day": nullable(whole("Jobs in 24 hours; null: unlimited.")),
    "gpu_seconds_per_day": nullable(whole("Seconds of work in 24 hours; null: unlimited.")),
    "expires_at": nullable(moment("Not good after that; null: never.")),
    "is_active": flag("Switched off, it is refused until it is switched on again."),
    "revoked": flag("Refused for good."),
    "state": text("The same in a word, for people."),
    "created_at": moment(),
    "last_used_at": nullable(moment("Exact to a minute.")),
    "previous_secret_until": nullable(moment("The secret before a rotation works until then.")),
    "usage_count": whole("Requests, of the last 400 days.", 0),
    "error_count": whole("Those of them that were answered with an error.", 0),
    "usage": obj(_QUOTAS, "What it has used of its quotas."),
}
_SECRET: dict[str, Shape] = {
    "secret": text("`S`. It is in this answer and can't be shown again."),
    "token": text("`P.S`, as it is sent in `Authorization: Api-Key P.S`."),
}

COMPONENTS: dict[str, Shape] = {
    "ApiKey": obj(_KEY, "An API key, without its secret."),
    "NewApiKey": obj({**_KEY, **_SECRET}, "An API key with its secret."),
}

_EXAMPLE_QUOTA = {"limit": None, "used": 0, "remaining": None, "frees_at": None}
_EXAMPLE_QUOTAS = {"jobs_per_day": _EXAMPLE_QUOTA, "gpu_seconds_per_day": _EXAMPLE_QUOTA}
_EXAMPLE: dict[str, Any] = {
    "id": _PREFIX,
    "key": _PREFIX,
    "name": "my-extension",
    "description": "",
    "owner": "anna",
    "scopes": list(DEFAULT_SCOPES),
    "allowed_app_types": [],
    "allowed_ips": ["192.168.1.0/24"],
    "rate_limit": DEFAULT_RATE,
    "jobs_per_day": None,
    "gpu_seconds_per_day": None,
    "expires_at": None,
    "is_active": True,
    "revoked": False,
    "state": "active",
    "created_at": "2026-01-31T18:00:00.000Z",
    "last_used_at": None,
    "previous_secret_until": None,
    "usage_count": 0,
    "error_count": 0,
    "usage": _EXAMPLE_QUOTAS,
}
_EXAMPLE_NEW = {**_EXAMPLE, "secret": "S" * 32, "token": f"{_PREFIX}.{'S' * 32}"}

_NAME = text("What it is for.", minLength=1, maxLength=50)
_FIELDS: dict[str, Shape] = {
    "name": nullable(_NAME),
    "description": nullable(text("For people.", maxLength=500)),
    "owner": nullable(
        text("A user's name, which only staff may set; empty: the installation.", maxLength=150)
    ),
    "scopes": nullable(
        listed(
            word(SCOPES), f"What it may do; unless told {', '.join(DEFAULT_SCOPES)}.", minItems=1
        )
    ),
    "allowed_app_types": nullable(
        listed(word(settings.DISPATCHERS), "What it may submit jobs for; empty: anything.")
    ),
    "allowed_ips": nullable(
        listed(
            text(examples=["192.168.1.0/24"]),
            "Addresses and networks that it may be used from; empty: anywhere.",
            maxItems=50,
        )
    ),
    "rate_limit": nullable(
        whole("Submissions a minute; 0: unlimited.", 0, MAX_RATE, default=DEFAULT_RATE)
    ),
    "jobs_per_day": nullable(whole("Jobs in 24 hours; 0: unlimited.", 0, MAX_QUOTA)),
    "gpu_seconds_per_day": nullable(whole("Seconds in 24 hours; 0: unlimited.", 0, MAX_QUOTA)),
    "expires_at": nullable(
        {
            "description": "Not good after that; an empty text: never.",
            "anyOf": [{"type": "string", "format": "date-time"}, {"const": ""}],
        }
    ),
    "is_active": nullable(flag("Switched off, it is refused until it is switched on again.")),
}


def _one(component: str, message: str, example: dict[str, Any]) -> Answer:
    shape = enveloped(
        {"message": text("What was done."), "api_key": ref(component), "warnings": _WARNINGS},
        required=["success", "message", "api_key"],
    )
    return Answer(message, shape, {"success": True, "message": message, "api_key": example})


_CHANGE = Operation(
    name="v1_change_key",
    tag="Keys",
    summary="Change a key.",
    description="Change what the body names; the rest stays. PUT and PATCH do the same." + _WHO,
    path=_PATH,
    body=Body(
        obj(_FIELDS, required=[], additionalProperties=True),
        {"switch off": {"is_active": False}, "rename": {"name": "my-extension 2"}},
    ),
    answers={200: _one("ApiKey", "The key is changed.", {**_EXAMPLE, "is_active": False})},
    errors=("not_found", "key_operation_conflict"),
)

OPERATIONS: Operations = {
    ("GET", "/api/v1/api-keys"): Operation(
        name="v1_keys",
        tag="Keys",
        summary="List the keys that you may manage, newest first.",
        description="List keys, newest first; their secrets can't be shown." + _WHO,
        parameters=PAGING,
        answers={
            200: Answer(
                "The keys; `count` is that of all pages, and exact.",
                enveloped(
                    {"count": whole(low=0), **PAGE_COUNTS, "api_keys": listed(ref("ApiKey"))}
                ),
                {
                    "success": True,
                    "count": 1,
                    "total": 1,
                    "total_is_exact": True,
                    "next_cursor": None,
                    "api_keys": [_EXAMPLE],
                },
            )
        },
    ),
    ("POST", "/api/v1/api-keys"): Operation(
        name="v1_create_key",
        tag="Keys",
        summary="Make a key.",
        description="Make a key. Its secret is in this answer, and in no other." + _WHO,
        body=Body(
            obj({**_FIELDS, "name": _NAME}, required=["name"], additionalProperties=True),
            {
                "usual": {"name": "my-extension"},
                "narrow": {
                    "name": "phone",
                    "scopes": ["jobs:read", "jobs:write"],
                    "allowed_ips": ["192.168.1.0/24"],
                    "jobs_per_day": 200,
                    "expires_at": "2099-01-31T18:00:00Z",
                },
            },
        ),
        answers={
            201: _one(
                "NewApiKey",
                "The key is made. Keep its secret now: it can't be shown again.",
                _EXAMPLE_NEW,
            )
        },
    ),
    ("GET", "/api/v1/api-keys/{prefix}"): Operation(
        name="v1_key",
        tag="Keys",
        summary="Show a key, without its secret.",
        path=_PATH,
        answers={
            200: Answer(
                "The key.",
                enveloped({"api_key": ref("ApiKey")}),
                {"success": True, "api_key": _EXAMPLE},
            )
        },
        errors=("not_found",),
    ),
    ("PUT", "/api/v1/api-keys/{prefix}"): Operation(**{**vars(_CHANGE), "name": "v1_put_key"}),
    ("PATCH", "/api/v1/api-keys/{prefix}"): _CHANGE,
    ("DELETE", "/api/v1/api-keys/{prefix}"): Operation(
        name="v1_delete_key",
        tag="Keys",
        summary="Delete a key; its jobs and pictures stay.",
        path=_PATH,
        answers={
            200: Answer(
                "The key is deleted.",
                enveloped({"message": text("What was done.")}),
                {"success": True, "message": "The key is deleted. Its jobs and pictures stay."},
            )
        },
        errors=("not_found", "key_operation_conflict"),
    ),
    ("POST", "/api/v1/api-keys/{prefix}/rotate"): Operation(
        name="v1_rotate_key",
        tag="Keys",
        summary="Give a key another secret.",
        description=(
            "Give a key another secret, which is in this answer only. The one before works for"
            " `grace_seconds` more, so that programs can be changed over; another rotation ends"
            " that at once." + _WHO
        ),
        path=_PATH,
        body=Body(
            obj(
                {
                    "grace_seconds": nullable(
                        whole(
                            "How long the secret before still works.",
                            0,
                            MAX_GRACE_SECONDS,
                            default=DEFAULT_GRACE_SECONDS,
                        )
                    )
                },
                required=[],
                additionalProperties=True,
            ),
            {"an hour": {"grace_seconds": 3600}},
        ),
        answers={
            200: _one(
                "NewApiKey",
                "The key has a new secret. Keep it now: it can't be shown again.",
                _EXAMPLE_NEW,
            )
        },
        errors=("not_found", "key_operation_conflict"),
    ),
    ("POST", "/api/v1/api-keys/{prefix}/revoke"): Operation(
        name="v1_revoke_key",
        tag="Keys",
        summary="Revoke a key, for good.",
        description="Refuse a key from now on. It can't be undone." + _WHO,
        path=_PATH,
        answers={
            200: _one("ApiKey", "The key is revoked, for good.", {**_EXAMPLE, "revoked": True})
        },
        errors=("not_found", "key_operation_conflict"),
    ),
    ("GET", "/api/v2/whoami"): Operation(
        name="whoami",
        tag="Keys",
        summary="Tell who is asking, and what they may do.",
        serves_old_extensions=True,
        description=(
            "The best first request of a program: it shows that address and key are right, and"
            " what the key may do. Any key may ask it."
        ),
        answers={
            200: Answer(
                "Who is asking.",
                enveloped(
                    {
                        "kind": word(["key", "session"], "A key, or a person who is signed in."),
                        "name": text("The key's name, or the person's."),
                        "prefix": nullable(text("The key's prefix.")),
                        "owner": nullable(text("Whose jobs it sees; null: the installation's.")),
                        "expires_at": nullable(moment("When the key ends; null: never.")),
                        "limits": mapping(
                            True,
                            "Of a key: `submissions` and `requests` a minute, and the quotas;"
                            " null is unlimited. Empty for a person.",
                        ),
                        "scopes": listed(word(SCOPES), "What it may do."),
                        "allowed_app_types": listed(text(), "Empty: all."),
                        "server_version": text("The version of MobileSD."),
                        "minimum_extension_version": text(
                            "Extensions that are older should ask to be updated."
                        ),
                    }
                ),
                {
                    "success": True,
                    "kind": "key",
                    "name": "my-extension",
                    "prefix": _PREFIX,
                    "owner": "anna",
                    "expires_at": None,
                    "limits": {
                        "submissions": {"limit": DEFAULT_RATE, "per_seconds": 60},
                        "requests": {"limit": 10 * DEFAULT_RATE, "per_seconds": 60},
                        **_EXAMPLE_QUOTAS,
                    },
                    "scopes": list(DEFAULT_SCOPES),
                    "allowed_app_types": [],
                    "server_version": VERSION,
                    "minimum_extension_version": "1.0.0",
                },
            )
        },
    ),
}
