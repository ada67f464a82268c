"""A log file that many processes write at once, and that makes room for itself."""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

__all__ = ["FOLDER", "SharedFile", "log_files"]

FOLDER = "logs"
_AGAIN_SECONDS = 60.0


def log_files(folder: Path) -> list[Path]:
    """Return the log files in a folder, those that were set aside first (newest number last)."""
    found = [path for path in folder.glob("*.log*") if not path.name.endswith(".lock")]
    return sorted(found, key=lambda path: (path.name.partition(".log")[0], -_age(path)))


def _age(path: Path) -> int:
    number = path.name.rpartition(".")[2]
    return int(number) if number.isdigit() else 0


class SharedFile(logging.Handler):
    """Append each line with one write to DATA_DIR/logs/<name>.log; set it aside at `most_bytes`.

    Lines of several processes do not mix, since an appended write is one step. Who finds the file
    too long renames it (.1, .2 … `kept`) under a lock; the others notice by its inode. A disk that
    is full or gone costs lines, which are counted, and nothing else.
    """

    def __init__(self, name: str, most_bytes: int, kept: int, folder: Path | None = None) -> None:
        super().__init__()
        self.name = name
        self._file_name = f"{name}.log"
        self._most_bytes = most_bytes
        self._kept = kept
        self._folder = folder
        self._path: tuple[object, Path] | None = None
        self._descriptor = -1
        self._opened: tuple[int, int] | None = None
        self._torn = False
        self._lost = 0
        self._rotate_after = 0.0

    @property
    def path(self) -> Path:
        # Asked each time: tests move the data folder. Putting paths together takes its time.
        data = settings.DATA_DIR
        if self._path is None or self._path[0] is not data:
            self._path = data, (self._folder or Path(data) / FOLDER) / self._file_name
        return self._path[1]

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; never raises, never waits for another process."""
        try:
            line = self.format(record).replace("\n", "\\n").encode("utf-8", "backslashreplace")
        except Exception:
            self.handleError(record)
            return
        try:
            self._append(line + b"\n")
        except OSError:
            self._lost += 1
            self._forget()

    def close(self) -> None:
        self._forget()
        super().close()

    def _append(self, line: bytes) -> None:
        path = self.path
        size = self._open(path)
        if size and size + len(line) > self._most_bytes and time.monotonic() >= self._rotate_after:
            self._rotate(path)
            self._open(path)
        if self._lost:
            note = f'{{"event": "{self._lost} log lines are lost: the disk was full or gone"}}\n'
            line = note.encode() + line
        if self._torn:
            line = b"\n" + line
        written = os.write(self._descriptor, line)
        self._torn = written < len(line)
        self._lost = int(self._torn)

    def _open(self, path: Path) -> int:
        """Have the file open that has this name now; return its size."""
        try:
            found = os.stat(path)  # noqa: PTH116  a third of what Path takes, for each line
            if self._descriptor >= 0 and (found.st_dev, found.st_ino) == self._opened:
                return found.st_size
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._forget()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(path, flags, 0o600)
        found = os.fstat(self._descriptor)
        self._opened = (found.st_dev, found.st_ino)
        return found.st_size

    def _forget(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._descriptor, self._opened = -1, None

    def _rotate(self, path: Path) -> None:
        """Set the file aside, unless somebody else just does or did."""
        try:
            with _alone(path.with_name(f"{path.name}.lock")):
                if path.stat().st_size < self._most_bytes * 0.9:
                    return
                for number in range(self._kept, 0, -1):
                    source = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
                    if source.exists():
                        self._forget()  # Windows renames nothing that is open
                        source.replace(path.with_name(f"{path.name}.{number}"))
        except OSError:
            # Another has the lock, or a reader holds the file (Windows): it grows meanwhile.
            self._rotate_after = time.monotonic() + (_AGAIN_SECONDS if os.name == "nt" else 0.1)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock of the operating system, which a kill leaves free; raise OSError if taken."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
