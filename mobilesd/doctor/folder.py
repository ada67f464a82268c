"""The data folder: there, writable, with room, and with a secret that stays one."""

import os
import shutil
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from django.conf import settings

from mobilesd.doctor.findings import Finding, fail, ok, warn

__all__ = ["data_folder", "free_space", "secret_key_file"]

GIB = 1024**3
LITTLE_SPACE = 2 * GIB
NO_SPACE = GIB // 4


def data_folder() -> Iterator[Finding]:
    """Look whether the folder for all state is there and can be written."""
    for folder in (Path(settings.DATA_DIR), Path(settings.RUN_DIR)):
        if not folder.is_dir():
            yield warn(f"The folder {folder} is missing.", "`up` makes it.", partial(_make, folder))
        elif not os.access(folder, os.W_OK | os.X_OK):
            yield fail(
                f"The folder {folder} can't be written.",
                "Correct its owner, or set MOBILESD_DATA_DIR to another folder.",
            )
        else:
            yield ok(f"The folder {folder} can be written.")


def _make(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    return f"Made {folder}."


def free_space() -> Iterator[Finding]:
    """Look at the room on the disk that holds the data folder."""
    if not Path(settings.DATA_DIR).is_dir():
        return
    free = shutil.disk_usage(settings.DATA_DIR).free
    text = f"{free / GIB:.1f} GiB are free on the disk of the data folder."
    todo = "Delete what you don't need, or move the data folder to a larger disk."
    if free < NO_SPACE:
        yield fail(text, todo)
    elif free < LITTLE_SPACE:
        yield warn(text, todo)
    else:
        yield ok(text)


def secret_key_file() -> Iterator[Finding]:
    """Look whether only its owner can read the secret key."""
    file = Path(settings.DATA_DIR) / "secret_key"
    if not file.exists():
        yield ok("The secret key comes from the environment.")
    elif os.name != "nt" and stat.S_IMODE(file.stat().st_mode) & 0o077:
        yield warn(
            f"Other users of this machine can read {file}.",
            f"Run: chmod 600 {file}",
            partial(_close, file),
        )
    else:
        yield ok("Only its owner can read the secret key.")


def _close(file: Path) -> str:
    file.chmod(0o600)
    return f"Closed {file} to other users."
