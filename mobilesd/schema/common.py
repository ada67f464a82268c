"""The parts of the document that belong to no app: errors, headers, ways to show who asks."""

from typing import Any

from mobilesd.errors import CATALOGUE, ErrorKind
from mobilesd.schema.operations import Answer, Operation, Operations, Parameter, query
from mobilesd.schema.shapes import Shape, flag, listed, mapping, moment, obj, text, whole, word

__all__ = [
    "CURSOR",
    "LIMIT",
    "OFFSET",
    "OPERATIONS",
    "ORDER",
    "PAGE_COUNTS",
    "PAGING",
    "components",
    "error_example",
]

LIMIT = query("limit", whole("How many rows to send.", 1, 200, default=50), example=20)
CURSOR = query(
    "cursor",
    text(
        "The `next_cursor` of the page before. It stays true while rows come and go."
        " Not together with `offset`."
    ),
)
ORDER = query("order", word(["asc", "desc"], "By creation, ties by id.", default="desc"))
OFFSET = query(
    "offset",
    whole(
        "How many rows to leave out first; in a search (`q`) at most 10,000. Use `cursor` to go"
        " through a long list.",
        0,
        1_000_000,
        default=0,
    ),
)
PAGING: tuple[Parameter, ...] = (LIMIT, OFFSET, CURSOR, ORDER)

PAGE_COUNTS: dict[str, Shape] = {
    "total": whole(
        "How many rows match; exact up to 10,000, and 10,000 above. A search for words (`q`)"
        " together with `status` or `server` counts only the newest matches of the words, and says"
        " so in `total_is_exact`.",
        0,
        10_000,
    ),
    "total_is_exact": flag("Whether `total` is the exact number; if not, there may be more."),
    "next_cursor": {
        "type": ["string", "null"],
        "description": (
            "Send it as `cursor` for the next page; null on the last one, and only there: a page"
            " of a search may hold fewer rows than `limit`, even none, and yet have one."
        ),
    },
}

_PROBLEMS = listed(text(), "What is wrong, in sentences; empty when all is well.")
_HEALTH = obj(
    {
        "status": text("One or two words."),
        "problems": _PROBLEMS,
        "warnings": listed(text(), "Only there for what is wrong and keeps nobody from working."),
    },
    required=["status", "problems"],
)

OPERATIONS: Operations = {
    ("GET", "/status"): Operation(
        name="status",
        tag="Health",
        summary="Say whether the process takes requests.",
        public=True,
        answers={200: Answer("It does.", text(), "ok\n", ("text/plain",))},
    ),
    ("GET", "/healthz"): Operation(
        name="healthz",
        tag="Health",
        summary="Say whether this process works.",
        public=True,
        answers={
            200: Answer("It does.", _HEALTH, {"status": "healthy", "problems": []}),
            503: Answer(
                "It does not.",
                _HEALTH,
                {"status": "unhealthy", "problems": ["The database can't be read."]},
            ),
        },
    ),
    ("GET", "/readyz"): Operation(
        name="readyz",
        tag="Health",
        summary="Say whether the whole installation can work.",
        public=True,
        answers={
            200: Answer("It can.", _HEALTH, {"status": "ready", "problems": []}),
            503: Answer(
                "It can't.",
                _HEALTH,
                {"status": "not ready", "problems": ["The database lacks migrations."]},
            ),
        },
    ),
}

_ERROR = obj(
    {
        "success": {"const": False},
        "error": word(CATALOGUE, "What went wrong, for programs. New codes may be added."),
        "message": text("What went wrong, for people."),
        "details": obj(
            {
                "code": text("The same as `error`, in capitals.", pattern="^[A-Z_]+$"),
                "timestamp": moment("When."),
                "fields": mapping(
                    listed(text()), "Path of each wrong field, and what is wrong with it."
                ),
                "hint": text("What to do about it."),
                "request_id": text("By this the request is found in the server's log."),
                "quota": word(
                    ["jobs_per_day", "gpu_seconds_per_day"], "Of `quota_exceeded`: which."
                ),
                "jobs": whole(
                    "Of `quota_exceeded`, by jobs_per_day: how many this would be. More than the"
                    " `limit` never fit, however long you wait."
                ),
            },
            required=["code", "timestamp", "fields", "hint", "request_id"],
            additionalProperties=True,
        ),
    },
    "Every error of every address has this form.",
)


def error_example(code: str, kind: ErrorKind) -> dict[str, Any]:
    """Return an answer with this error, as it might be."""
    fields = {}
    if kind.status == 400 and code not in {"invalid_json", "job_operation_invalid"}:
        fields = {"generation_params.width": [kind.meaning]}
    return {
        "success": False,
        "error": code,
        "message": kind.meaning,
        "details": {
            "code": code.upper(),
            "timestamp": "2026-01-31T18:00:00.000Z",
            "fields": fields,
            "hint": kind.hint,
            "request_id": "4f1c2a9be07d3358",
        },
    }


def _key_header(name: str, description: str) -> dict[str, Any]:
    return {"type": "apiKey", "in": "header", "name": name, "description": description}


_SECURITY = {
    "ApiKey": _key_header(
        "Authorization", "`Authorization: Api-Key P.S`, where `P.S` is the key as it was shown."
    ),
    "Bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "P.S",
        "description": "`Authorization: Bearer P.S`",
    },
    "BearerPair": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "base64(P:S)",
        "description": "`Authorization: Bearer` with the base64 of `P:S`",
    },
    "KeyPrefix": _key_header("X-API-Key", "The prefix `P`; goes with `X-API-Secret`."),
    "KeySecret": _key_header("X-API-Secret", "The secret `S`; goes with `X-API-Key`."),
    "Session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "sessionid",
        "description": (
            "A page that is signed in. What changes something also needs the header"
            " `X-CSRFToken` with the value of the cookie `csrftoken`."
        ),
    },
}


def _header(description: str, shape: Shape) -> dict[str, Any]:
    return {"description": description, "schema": shape}


_HEADERS = {
    "X-Request-ID": _header(
        "The id of this request: yours if you sent one, else a new one.", text(maxLength=64)
    ),
    "X-RateLimit-Limit": _header("Requests a minute that this key may send.", whole(low=0)),
    "X-RateLimit-Remaining": _header("How many of them are left.", whole(low=0)),
    "X-RateLimit-Reset": _header("Seconds until all of them are free again.", whole(low=0)),
    "Retry-After": _header("Seconds to wait before the next try.", whole(low=0)),
    "WWW-Authenticate": _header("The scheme to use: `Api-Key`.", text()),
    "ETag": _header("Send it as `If-None-Match`: 304 while nothing changed.", text()),
    "Location": _header("Where the new thing is.", text()),
    "Cache-Control": _header("How long the answer may be kept.", text()),
}


def components() -> dict[str, Any]:
    """Return the components that belong to no app."""
    return {
        "schemas": {"Error": _ERROR},
        "examples": {
            code: {"summary": kind.meaning, "value": error_example(code, kind)}
            for code, kind in CATALOGUE.items()
        },
        "headers": _HEADERS,
        "securitySchemes": _SECURITY,
    }
