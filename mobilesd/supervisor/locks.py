"""One supervisor a data folder and role, held by the operating system: a kill leaves no lock."""

import contextlib
import os
import sys
from pathlib import Path
from typing import IO

__all__ = ["AlreadyRunning", "FileLock", "owner_of"]

_BYTE = 1 << 30  # Windows locks hide the bytes they cover: this one is far behind the text


class AlreadyRunning(Exception):
    """Somebody else holds the lock."""

    def __init__(self, path: Path, pid: int | None) -> None:
        super().__init__(f"{path.name} is held by process {pid or 'unknown'}")
        self.pid = pid


if sys.platform == "win32":
    import msvcrt

    def _lock(stream: IO[bytes]) -> None:
        stream.seek(_BYTE)
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(stream: IO[bytes]) -> None:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """An exclusive lock on a file, with the holder's process id as its content.

    The file stays: removing it would let two processes lock two files of one name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: IO[bytes] | None = None

    def acquire(self) -> None:
        """Take the lock, or raise AlreadyRunning with the pid of who has it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        stream = self.path.open("a+b")
        try:
            _lock(stream)
        except OSError:
            stream.close()
            raise AlreadyRunning(self.path, _pid_in(self.path)) from None
        stream.truncate(0)
        stream.write(str(os.getpid()).encode())
        stream.flush()
        self._stream = stream

    def release(self) -> None:
        """Give the lock back, if it is held."""
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.truncate(0)
            self._stream.close()
            self._stream = None


def _pid_in(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text(encoding="ascii"))
    return None


def owner_of(path: Path) -> int | None:
    """Return the pid of the process that holds this lock, or None when nobody does."""
    if not path.exists():
        return None
    lock = FileLock(path)
    try:
        lock.acquire()
    except AlreadyRunning as held:
        return held.pid or 0
    lock.release()
    return None
