"""What Forge's error answers mean (contracts/forge.md, "Routes" and recordings under errors/)."""

import re
from typing import Any

from dispatch.dispatchers.base import BackendError, ErrorClass, LostAnswer, NeverReached
from dispatch.dispatchers.forge.untrusted import text

__all__ = ["error_of", "unreadable"]

_SHOWN = 500  # characters of a server's own text
_POISONED = "'NoneType' object has no attribute 'sd_checkpoint_info'"
_OUT_OF_MEMORY = re.compile(
    r"out of memory|OutOfMemory|not enough memory|ALLOC_FAILED|Allocation on device", re.IGNORECASE
)

# Message -> class, code, sentence, hint. First match wins; `poisons` marks a failed model load.
_KNOWN: tuple[tuple[str, ErrorClass, str, str, str, bool], ...] = (
    (
        _POISONED,
        ErrorClass.POISONED,
        "server_poisoned",
        "The server could not load a model before and now refuses all work.",
        "It is mended by a job with another checkpoint. If not, restart the server.",
        True,
    ),
    (
        "Failed to recognize model type",
        ErrorClass.ELSEWHERE,
        "checkpoint_broken",
        "The server could not load the checkpoint. The file is damaged or was deleted.",
        "Copy the file to the server again, or choose another checkpoint.",
        True,
    ),
    (
        "Could not find checkpoint with name",
        ErrorClass.ELSEWHERE,
        "checkpoint_missing",
        "The server does not have a checkpoint that the job names.",
        "Check the refiner and hires checkpoints of the job.",
        False,
    ),
    (
        "could not find upscaler named",
        ErrorClass.ELSEWHERE,
        "upscaler_missing",
        "The server does not have the upscaler that the job names.",
        "Copy the upscaler to the server, or choose another one.",
        False,
    ),
    (
        "Invalid encoded image",
        ErrorClass.PERMANENT,
        "init_image_invalid",
        "The server could not read the init image.",
        "Send the picture as PNG, JPEG or WebP.",
        False,
    ),
    (
        "Request to local resource not allowed",
        ErrorClass.PERMANENT,
        "init_image_invalid",
        "The server does not fetch pictures from addresses.",
        "Send the picture itself.",
        False,
    ),
    (
        "Init image not found",
        ErrorClass.PERMANENT,
        "init_image_missing",
        "The job has no init image.",
        "Add a picture to start from.",
        False,
    ),
)


def error_of(status: int, body: Any) -> BackendError | NeverReached:
    """Return the error that an answer with this status and JSON body stands for."""
    message, name = _message(body), _exception_name(body)
    for known, error_class, code, sentence, hint, poisons in _KNOWN:
        if known in message:
            return BackendError(error_class, code, sentence, hint, poisons=poisons)
    if found := _not_taken(status):
        return found
    if status == 404:
        return NeverReached("The server is still starting.", "starting")
    if _OUT_OF_MEMORY.search(name) or _OUT_OF_MEMORY.search(message):
        return BackendError(
            ErrorClass.OUT_OF_MEMORY,
            "out_of_memory",
            "The server's GPU ran out of memory.",
            "Make the picture smaller, ask for fewer at once, or leave out hires fix.",
        )
    script = re.search(r"Script '(.+)' not found", message)
    if status == 422 and script:
        return BackendError(
            ErrorClass.ELSEWHERE,
            "script_missing",
            f"The server does not have the extension {script.group(1)[:100]!r}.",
            "Install it there, or leave it out of the job.",
        )
    if status == 422:
        return BackendError(
            ErrorClass.PERMANENT,
            "invalid_request",
            f"The server refused the parameters: {message}",
            "Correct the named parameters and submit the job again.",
        )
    shown = f"{name}: {message}".strip(": ") or f"status {status}"
    return BackendError(
        ErrorClass.TRANSIENT,
        "backend_error",
        f"The server answered with an error: {shown}",
        "Look at the server's console. The job is tried again.",
    )


def unreadable(status: int) -> BackendError | NeverReached | LostAnswer:
    """Return what an answer means that is no JSON: it comes from something before the server.

    Forge itself may be at work on the job all the same, behind a proxy that lost patience.
    """
    if status == 413:
        return BackendError(
            ErrorClass.ELSEWHERE,
            "request_too_large",
            "A proxy before the server refuses requests of this size.",
            "Raise its limit (nginx: client_max_body_size), or send smaller pictures.",
        )
    return _not_taken(status) or LostAnswer(
        f"The server answered with something else than JSON (status {status}).",
        code="bad_answer",
        hint="Is this address really the image server? Test the connection.",
    )


def _not_taken(status: int) -> NeverReached | None:
    if status in (401, 403):
        return NeverReached("The server refuses our user name and password.", "refused")
    if 300 <= status < 400:
        return NeverReached(f"The address leads somewhere else (status {status}). Change it.")
    return None


def _message(body: Any) -> str:
    if not isinstance(body, dict):
        return ""
    detail = body.get("detail")
    if isinstance(detail, list):  # FastAPI's list of wrong fields
        rows = (row for row in detail[:20] if isinstance(row, dict))
        return text("; ".join(_wrong_field(row) for row in rows), _SHOWN)
    return text(body.get("message") or detail or "", _SHOWN)


def _wrong_field(row: dict[str, Any]) -> str:
    place = row.get("loc")
    parts = place[1:] if isinstance(place, list) else ()
    return f"{'.'.join(str(part) for part in parts)}: {row.get('msg', '')}"


def _exception_name(body: Any) -> str:
    return text(body.get("error") or "", 100) if isinstance(body, dict) else ""
