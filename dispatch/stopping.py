"""How a lane learns that it is to end: a file named after the start that it belongs to.

A signal reaches the parent of a cluster only, and a row would be read by the next start as well;
a file is one `stat()` for the lanes of exactly the start that is ending (design §2).
"""

from pathlib import Path

from django.conf import settings

__all__ = ["drain_file", "drain_requested", "stop_file", "stop_requested"]


def stop_file(boot_id: str) -> Path:
    """Return the flag that makes the lanes of this start leave at once, attempts left open."""
    return Path(settings.RUN_DIR) / f"stop-{boot_id}"


def drain_file(boot_id: str) -> Path:
    """Return the flag that makes them claim nothing more and leave when nothing is in flight."""
    return Path(settings.RUN_DIR) / f"drain-{boot_id}"


def stop_requested() -> bool:
    """Tell whether this process is to stop now; cheap enough to ask many times a second."""
    return bool(settings.BOOT_ID) and stop_file(settings.BOOT_ID).exists()


def drain_requested() -> bool:
    """Tell whether this process is to take no new work."""
    return bool(settings.BOOT_ID) and drain_file(settings.BOOT_ID).exists()
