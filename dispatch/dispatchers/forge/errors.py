"""What Forge's error answers mean (contracts/forge.md, "Routes" and recordings under errors/)."""

import re
from typing import Any

from dispatch.dispatchers.base import BackendError, ErrorClass, NeverReached

__all__ = ["error_of"]

_POISONED = "'NoneType' object has no attribute 'sd_checkpoint_info'"
_OUT_OF_MEMORY = re.compile(r"out of memory|OutOfMemory|Allocation on device", re.IGNORECASE)

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
        "Choose another hires upscaler.",
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


def _message(body: Any) -> str:
    if not isinstance(body, dict):
        return ""
    detail = body.get("detail")
    if isinstance(detail, list):  # FastAPI's list of wrong fields
        return "; ".join(
            f"{'.'.join(str(part) for part in row.get('loc', ())[1:])}: {row.get('msg', '')}"
            for row in detail
            if isinstance(row, dict)
        )
    return str(body.get("message") or detail or "")


def error_of(status: int, body: Any) -> BackendError | NeverReached:
    """Return the error that an answer with this status and JSON body stands for."""
    message = _message(body)
    name = str(body.get("error", "")) if isinstance(body, dict) else ""
    for text, error_class, code, sentence, hint, poisons in _KNOWN:
        if text in message:
            return BackendError(error_class, code, sentence, hint, poisons=poisons)
    if status == 401:
        return NeverReached("The server refuses our user name and password.", "refused")
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
            f"The server does not have the extension {script.group(1)!r}.",
            "Install it there, or leave it out of the job.",
        )
    if status == 422:
        return BackendError(
            ErrorClass.PERMANENT,
            "invalid_request",
            f"The server refused the parameters: {message[:500]}",
            "Correct the named parameters and submit the job again.",
        )
    shown = f"{name}: {message}".strip(": ")[:500] or f"status {status}"
    return BackendError(
        ErrorClass.TRANSIENT,
        "backend_error",
        f"The server answered with an error: {shown}",
        "Look at the server's console. The job is tried again.",
    )
