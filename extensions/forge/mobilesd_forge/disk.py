"""Files that are there whole or not at all, and locks between processes."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

__all__ = ["TEMPORARY", "Busy", "FileLock", "move", "sync_folder", "write_whole"]

TEMPORARY = ".new-"


class Busy(Exception):
    """Somebody else holds the lock."""


def write_whole(file: Path, content: bytes) -> None:
    """Write a file, readable by its owner only; a crash leaves the old one or the new one.

    Raises OSError; nothing is changed then.
    """
    handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=file.parent)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as new:
            new.write(content)
            new.flush()
            os.fsync(new.fileno())
        Path(name).replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    sync_folder(file.parent)


def move(file: Path, target: Path) -> None:
    """Move a file within one disk, for good before this returns."""
    file.replace(target)
    sync_folder(target.parent)
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Write down which files a folder has; Windows does that by itself."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class FileLock:
    """A lock on a file: of all processes and threads that ask for it, one holds it.

    The system gives it back when its holder dies. It is not reentrant.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    @contextlib.contextmanager
    def held(self, *, wait: bool = True) -> Iterator[None]:
        """Hold the lock; without `wait`, raise Busy if somebody else does."""
        with _Opened(self._file) as handle:
            try:
                _lock(handle, wait=wait)
            except (BlockingIOError, PermissionError):
                raise Busy(str(self._file)) from None
            try:
                yield
            finally:
                _unlock(handle)


class _Opened:
    """An open file of its own for each holder: locks of one open file would not meet."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._handle = -1

    def __enter__(self) -> int:
        self._handle = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        return self._handle

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._handle)


if sys.platform == "win32":
    import msvcrt
    import time

    def _lock(handle: int, *, wait: bool) -> None:
        while True:
            try:
                os.lseek(handle, 0, os.SEEK_SET)
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
                return
            except OSError:
                if not wait:
                    raise BlockingIOError from None
                time.sleep(0.05)  # Windows has no lock that waits for as long as it takes

    def _unlock(handle: int) -> None:
        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(handle: int, *, wait: bool) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
