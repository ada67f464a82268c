"""Bounds the memory that large bodies cost: at most two of them are in work at a time.

A slot is held from before the body is read until the request is answered, because the decoded
pictures live that long. 64 MB of base64 are about 300 MB on their way to a file.
"""

import threading
from typing import Any

from mobilesd.errors import Unavailable

__all__ = ["HEAVY_BYTES", "heavy_body", "release"]

HEAVY_BYTES = 1024 * 1024
SLOTS = 2
PATIENCE_SECONDS = 60.0
# Each one that waits holds a thread of those that answer everybody (mobilesd.http.handler).
WAITING = 6

_slots = threading.BoundedSemaphore(SLOTS)
_places = threading.BoundedSemaphore(WAITING)
_HELD = "_mobilesd_heavy_slot"


def heavy_body(request: Any, size: int) -> None:
    """Wait for a slot if this body needs one; `release` gives it back.

    Raises Unavailable if no slot was free for a minute, or at once if too many wait already.
    """
    if size <= HEAVY_BYTES or request is None or getattr(request, _HELD, False):
        return
    if not (_slots.acquire(blocking=False) or _wait_for_a_slot()):
        raise Unavailable(
            "Too many large requests are in work.",
            error="server_busy",
            retry_after=5,
        )
    setattr(request, _HELD, True)


def _wait_for_a_slot() -> bool:
    if not _places.acquire(blocking=False):
        return False
    try:
        return _slots.acquire(timeout=PATIENCE_SECONDS)
    finally:
        _places.release()


def release(request: Any) -> None:
    """Give back the slot of this request, if it holds one."""
    if getattr(request, _HELD, False):
        setattr(request, _HELD, False)
        _slots.release()
