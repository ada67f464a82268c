"""A small disk that can be full."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["SmallDisk"]

MEGABYTES = 400


class SmallDisk:
    """A file system of its own in `folder`, where this machine lets us mount one.

    Use it in a `with`; without the right to mount, it is the folder as it is, and is never full.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_small = False

    def __enter__(self) -> "SmallDisk":
        self.folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(self.folder)]
        with contextlib.suppress(OSError):
            self.is_small = not subprocess.run(mount, capture_output=True).returncode
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_small:
            subprocess.run(["umount", "--lazy", self.folder], check=True)

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"

    def fill(self, leave_mb: int = 0) -> None:
        """Leave so much free, or no byte."""
        if leave_mb:
            too_much = shutil.disk_usage(self.folder).free - leave_mb * 2**20
            with contextlib.suppress(OSError), self._filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(1, too_much))
            return
        descriptor = os.open(self._filler, os.O_WRONLY | os.O_CREAT)
        try:
            for piece in (2**20, 2**12):
                os.lseek(descriptor, 0, os.SEEK_END)
                with contextlib.suppress(OSError):
                    while True:
                        os.write(descriptor, bytes(piece))
        finally:
            os.close(descriptor)

    def make_room(self) -> None:
        self._filler.unlink(missing_ok=True)
