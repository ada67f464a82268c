"""What the API's document says of servers."""

from typing import Any

from django.conf import settings

from dispatch.models import Health, Interrupt
from jobs.api.schema.changes import UNDO, UNDO_EXAMPLE
from jobs.api.schema.opening import OPENING_EXAMPLES, OPENING_SHOWN, OPENING_TAKEN
from mobilesd.schema.operations import Answer, Body, Operation, Operations, query
from mobilesd.schema.shapes import (
    Shape,
    enveloped,
    flag,
    listed,
    nullable,
    number,
    obj,
    ref,
    text,
    whole,
    word,
)

__all__ = ["COMPONENTS", "OPERATIONS"]

_ALIAS = text("Its name.", pattern="^[A-Za-z0-9_-]{1,64}$", example="gaming-pc")
_PATH = {"alias": {**_ALIAS, "description": "The server's alias."}}
_WARNINGS = listed(text(), "Only there when a field was not known and was ignored.")

_SERVER: dict[str, Shape] = {
    "alias": _ALIAS,
    "apiUrl": text("Its address."),
    "app_type": text("What kind of server it is."),
    "description": text("For people."),
    "enabled": flag("Whether it gets jobs."),
    "healthy": flag("Whether it answers as it should."),
}
_EXAMPLE: dict[str, Any] = {
    "alias": "gaming-pc",
    "apiUrl": "http://192.168.1.20:7860",
    "app_type": settings.DEFAULT_APP_TYPE,
    "description": "RTX 4090 in the cellar",
    "enabled": True,
    "healthy": True,
}
_EXAMPLE_V2: dict[str, Any] = {
    **_EXAMPLE,
    "host": "192.168.1.20",
    "port": 7860,
    "paused": False,
    "health": "healthy",
    "health_text": "",
    "busy": False,
    "queue_length": 0,
    "loaded_checkpoint": "sd_xl_base_1.0.safetensors",
    "forecast_error": 0.12,
    "gpu": {"total_mb": 24564, "free_mb": 21870},
    "companion": {
        "version": "1.0.0",
        "ok": True,
        "text": "Companion 1.0.0: cancels exactly, results survive a restart.",
    },
    "wake_mac": "a4:bb:6d:12:34:56",
    "wake_seconds": 180,
    "woken_at": None,
    "yield_below_mb": None,
    "yields_since": None,
    "yield_text": "",
    "hours": "23:00-07:00",
    "time_zone": "Europe/Berlin",
    "run_until": None,
    "opens_at": "2026-01-31T22:00:00.000Z",
    "closes_at": "2026-01-31T17:00:00.000Z",
}
_FIELDS: dict[str, Shape] = {
    "apiUrl": nullable(
        text("Its address, without a password; or `host` and `port`.", maxLength=300)
    ),
    "host": nullable(text("Name or IP address; goes with `port`. Beside `apiUrl`: the same host.")),
    "port": nullable(
        {
            "description": "Its port.",
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 65535},
                {"type": "string", "pattern": "^[1-9][0-9]{0,4}$"},
            ],
        }
    ),
    "app_type": nullable(text("What kind of server it is.", default=settings.DEFAULT_APP_TYPE)),
    "description": nullable(text("For people.", maxLength=500)),
    "enabled": nullable(flag("Whether it gets jobs.", default=True)),
    "companion_token": nullable(
        text(
            "The token of MobileSD's companion on the server. Kept encrypted, never sent out; kept"
            " unless one is sent. Empty: it is removed.",
            maxLength=200,
        )
    ),
    "auth": nullable(
        obj(
            {
                "username": nullable(text(maxLength=200)),
                "password": nullable(text("Kept encrypted, never sent out.", maxLength=500)),
            },
            "For servers that ask for a sign-in. A password is kept unless one is sent.",
            required=[],
            additionalProperties=False,
        )
    ),
}
_ADDED = {
    "alias": "gaming-pc",
    "apiUrl": "http://192.168.1.20:7860",
    "auth": {"username": "me", "password": "correct horse"},
}

COMPONENTS: dict[str, Shape] = {
    "Server": obj(_SERVER, "A server, as v1 shows it."),
    "ServerState": obj(
        {
            **_SERVER,
            "host": text("The host of its address."),
            "port": whole("The port of its address.", 1, 65535),
            "paused": flag("Whether somebody paused it: it gets no new jobs."),
            "health": word(Health.values, "What is known of it."),
            "health_text": text("The same in words, if there is something to say."),
            "busy": flag("Whether it makes a job of ours now."),
            "queue_length": whole("Jobs that wait for it, or for any server of its kind.", 0),
            "loaded_checkpoint": nullable(text("The model that it has loaded.")),
            "forecast_error": nullable(
                number(
                    "How far off the expected durations of its newest jobs were: the median, as a"
                    " part of the real one. Null: too few have run.",
                    0,
                )
            ),
            "gpu": nullable(
                obj(
                    {"total_mb": whole("Its memory.", 0), "free_mb": nullable(whole(low=0))},
                    "The memory of its GPU when it was last asked, if it tells.",
                )
            ),
            "companion": nullable(
                obj(
                    {
                        "version": nullable(text("Its version, if it tells.")),
                        "ok": flag("Whether it is used."),
                        "text": text("What it gives, or what is wrong with it."),
                    },
                    "MobileSD's own companion on the server; null: none was found, and no token"
                    " is set.",
                )
            ),
            "wake_mac": nullable(text("The network card that is woken when a job waits.")),
            "wake_seconds": whole("It is woken again after so many seconds at the earliest.", 0),
            "woken_at": nullable(text("When it was woken last.", format="date-time")),
            "yield_below_mb": nullable(
                whole("It takes no job while less GPU memory is free; null: it never yields.", 0)
            ),
            "yields_since": nullable(
                text("Since when it gives way to others; null: it does not.", format="date-time")
            ),
            "yield_text": text("Why it gives way."),
            **OPENING_SHOWN,
        },
        "A server with what it is doing.",
    ),
}


def _changed(message: str) -> tuple[Shape, dict[str, Any]]:
    properties = {
        "message": text("What was done."),
        "server": ref("Server"),
        "warnings": _WARNINGS,
    }
    shape = obj(properties, required=["message", "server"])
    return shape, {"message": message, "server": _EXAMPLE}


def _have(name: str, what: str, example: str, *, hashes: bool = False) -> Operation:
    """Return the list of something that the servers have, merged over them."""
    entry = {"name": text("As the first server calls it."), "servers": listed(text())}
    shown: dict[str, Any] = {"name": example, "servers": ["gaming-pc"]}
    if hashes:
        entry |= {"hash": nullable(text("The short one.")), "sha256": nullable(text())}
        shown |= {"hash": "31e35c80fc", "sha256": None}
    return Operation(
        name=f"v1_{name}",
        tag="Servers (v1)",
        summary=f"List the {what} of the servers.",
        description=(
            f"List the {what} of all enabled servers, each with the aliases of those that have it;"
            " or those of one server, enabled or not."
        ),
        parameters=(query("server", text("The alias of a server.")),),
        answers={
            200: Answer(
                f"The {what}.",
                enveloped({"count": whole(low=0), name: listed(obj(entry))}),
                {"success": True, "count": 1, name: [shown]},
            )
        },
        errors=("server_not_found",),
    )


_ONE = (
    enveloped(
        {"server": ref("ServerState"), "warnings": _WARNINGS}, required=["success", "server"]
    ),
    {"success": True, "server": _EXAMPLE_V2},
)
_CHANGES = Body(
    obj(
        {
            **_FIELDS,
            "paused": nullable(flag("Whether it gets no new jobs for now.")),
            "interrupt": nullable(
                word(Interrupt.values, "What a cancel does to a running picture.")
            ),
            **OPENING_TAKEN,
            "wake_mac": nullable(
                text(
                    "The MAC address of its network card: a magic packet wakes it when"
                    " a job waits for it. Empty: it is not woken.",
                    maxLength=17,
                )
            ),
            "wake_seconds": nullable(
                whole("Wake it again after so many seconds at the earliest.", 30, 86400)
            ),
            "yield_below_mb": nullable(
                whole(
                    "Take no job while less GPU memory (MB) is free, or while somebody"
                    " uses its own page; 0: only the latter; -1: never yield.",
                    -1,
                    1024 * 1024,
                )
            ),
        },
        required=[],
        additionalProperties=True,
    ),
    {"pause": {"paused": True}, "describe": {"description": "RTX 4090 in the cellar"}},
)

OPERATIONS: Operations = {
    ("GET", "/api/v1/checkpoints"): _have(
        "checkpoints", "checkpoints", "sd_xl_base_1.0.safetensors", hashes=True
    ),
    ("GET", "/api/v1/loras"): _have("loras", "LoRAs", "add-detail-xl"),
    ("GET", "/api/v1/samplers"): _have("samplers", "samplers", "Euler a"),
    ("GET", "/api/v1/schedulers"): _have("schedulers", "schedulers", "Karras"),
    ("GET", "/api/v1/upscalers"): _have("upscalers", "upscalers", "R-ESRGAN 4x+"),
    ("GET", "/api/v1/vaes"): _have("vaes", "VAEs", "ae.safetensors"),
    ("GET", "/api/v1/embeddings"): _have("embeddings", "embeddings", "EasyNegative"),
    ("GET", "/api/v1/servers"): Operation(
        name="v1_servers",
        tag="Servers (v1)",
        summary="List the servers.",
        description="List the servers as a bare array, by alias.",
        answers={200: Answer("The servers.", listed(ref("Server")), [_EXAMPLE])},
    ),
    ("POST", "/api/v1/servers"): Operation(
        name="v1_add_server",
        tag="Servers (v1)",
        summary="Add a server.",
        description="Add a server; it gets jobs at once. Send `apiUrl`, or `host` and `port`; where"
        " both are there, they must agree.",
        body=Body(
            obj({"alias": _ALIAS, **_FIELDS}, required=["alias"], additionalProperties=True),
            {"by address": _ADDED, "by port": {"alias": "b", "host": "10.0.0.7", "port": 7860}},
        ),
        answers={201: Answer("The server is added.", *_changed("The server is added."))},
        errors=("already_exists",),
    ),
    ("GET", "/api/v1/servers/{alias}"): Operation(
        name="v1_server",
        tag="Servers (v1)",
        summary="Show a server.",
        path=_PATH,
        answers={200: Answer("The server.", ref("Server"), _EXAMPLE)},
        errors=("server_not_found",),
    ),
    ("PUT", "/api/v1/servers/{alias}"): Operation(
        name="v1_change_server",
        tag="Servers (v1)",
        summary="Change a server.",
        description="Change what the body names; the rest stays. The alias can't be changed.",
        path=_PATH,
        body=_CHANGES,
        answers={200: Answer("The server is changed.", *_changed("The server is changed."))},
        errors=("server_not_found", "already_exists", "job_operation_conflict"),
    ),
    ("DELETE", "/api/v1/servers/{alias}"): Operation(
        name="v1_delete_server",
        tag="Servers (v1)",
        summary="Remove a server.",
        description="Remove a server that has no work of ours. Jobs that name it stay.",
        path=_PATH,
        answers={
            200: Answer(
                "The server is removed.",
                obj({"message": text("What was done."), "undo": UNDO}),
                {
                    "message": "The server is deleted. Jobs that name it stay.",
                    "undo": UNDO_EXAMPLE,
                },
            )
        },
        errors=("server_not_found", "job_operation_conflict"),
    ),
    ("GET", "/api/v2/servers"): Operation(
        name="servers",
        tag="Servers",
        summary="List the servers with what they are doing.",
        answers={
            200: Answer(
                "The servers, by alias.",
                enveloped({"servers": listed(ref("ServerState"))}),
                {"success": True, "servers": [_EXAMPLE_V2]},
            )
        },
    ),
    ("GET", "/api/v2/servers/{alias}"): Operation(
        name="server",
        tag="Servers",
        summary="Show a server with what it is doing.",
        path=_PATH,
        answers={200: Answer("The server.", *_ONE)},
        errors=("server_not_found",),
    ),
    ("PATCH", "/api/v2/servers/{alias}"): Operation(
        name="change_server",
        tag="Servers",
        summary="Change a server, or its hours.",
        description="Change what the body names; the rest stays. The alias can't be changed.",
        path=_PATH,
        body=Body(_CHANGES.shape, {**_CHANGES.examples, **OPENING_EXAMPLES}),
        answers={200: Answer("The server is changed.", *_ONE)},
        errors=("server_not_found", "already_exists", "job_operation_conflict"),
    ),
}
