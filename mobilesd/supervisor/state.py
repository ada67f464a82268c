"""What the supervisor leaves on disk for `/readyz`, `doctor` and the next start."""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

__all__ = [
    "ROLES",
    "State",
    "leftovers",
    "lock_file",
    "prepare_run_dir",
    "remove",
    "state_file",
    "write_atomically",
]

ROLES = ("web", "dispatch", "background")


@dataclass
class State:
    """The content of `supervisor.json`; `trouble` is a sentence for people, or None."""

    pid: int
    boot_id: str
    host: str
    port: int
    children: list[dict[str, Any]] = field(default_factory=list)
    trouble: str | None = None

    def write(self, file: Path) -> None:
        """Replace the file as a whole, so that a reader never sees half of it."""
        write_atomically(file, json.dumps(asdict(self), indent=1))


def write_atomically(file: Path, text: str, mode: int = 0o644) -> None:
    """Write a small file so that readers see the old or the new content; raise OSError."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        temporary.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def lock_file(role: str) -> Path:
    """Return the lock of one role; a full `up` holds the locks of all roles."""
    return Path(settings.RUN_DIR) / f"up-{role}.lock"


def state_file(only: str | None) -> Path:
    """Return the state file: `/readyz` reads that of the supervisor that runs the web process."""
    name = "supervisor" if only in (None, "web") else f"supervisor-{only}"
    return Path(settings.RUN_DIR) / f"{name}.json"


def leftovers(only: str | None) -> Iterator[Path]:
    """Yield what an earlier start of these roles left, because it was killed."""
    patterns = [state_file(only).name]
    patterns += [f"work-{role}-*" for role in (ROLES if only is None else (only,))]
    if only is None:
        patterns += ["supervisor-*.json", "prepared-*.json", "stop-*", "drain-*", ".*"]
    for pattern in patterns:
        yield from Path(settings.RUN_DIR).glob(pattern)


def prepare_run_dir(only: str | None) -> None:
    """Make the folder and remove what a killed start left; call it with the lock held."""
    Path(settings.RUN_DIR).mkdir(parents=True, exist_ok=True)
    for path in list(leftovers(only)):
        remove(path)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
