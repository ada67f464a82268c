"""Content-addressed files: written whole or not at all, deleted only when nothing needs them.

A file's name is the SHA-256 of its content, so that two writers of the same bytes meet in one
file. The order of the steps is that of design §5 "Files" and protocol rule 22: `put` before the
transaction, `keep` inside it, and `collect` for what no row names any more.
"""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction

__all__ = [
    "GRACE_SECONDS",
    "ContentStore",
    "InUse",
    "StoredFile",
    "collect",
    "free_bytes",
    "has_room",
    "write_whole",
]

# A file this young may belong to a transaction that has not committed yet.
GRACE_SECONDS = 3600

# How long and for how many files the collector holds the database's write lock at a time: a lane
# that waits for it must not look dead (design §6), and gets it in the pause.
_LOCK_SECONDS = 0.05
_LOCK_FILES = 20
_PAUSE_SECONDS = 0.05
_LOOK_AHEAD = 200

_SHA256 = re.compile(r"[0-9a-f]{64}")

# Folders whose entry in their parent is known to be on disk, so that only the first file of a
# folder pays for it. A folder that merely exists may have been made by a writer that was cut off.
_durable_folders: set[Path] = set()

# Which of these hashes do rows of the database name?
InUse = Callable[[Sequence[str]], Collection[str]]


def free_bytes() -> int:
    """Return the room on the disk of the data folder; much, if that can't be said."""
    try:
        return shutil.disk_usage(settings.DATA_DIR).free
    except OSError:
        return 1 << 62


def has_room(part: float = 1.0) -> bool:
    """Tell whether more is free than MOBILESD_MIN_FREE_MB, or a part of that.

    Below it no new file is taken and no job is begun; what runs is finished in the rest. Below a
    quarter no job is taken at all: its row and its line in the journal need room as well.
    """
    return free_bytes() >= settings.MIN_FREE_BYTES * part


@dataclass(frozen=True)
class StoredFile:
    """A file that is on disk for certain."""

    sha256: str
    path: Path
    bytes: int


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders can't be opened there; NTFS journals the rename itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    if folder in _durable_folders and folder.is_dir():
        return
    if not folder.parent.is_dir():
        _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)
    _durable_folders.add(folder)


def _make_folders(target: Path) -> None:
    _make_folder(target.parent.parent)
    _make_folder(target.parent)


def write_whole(target: Path, content: bytes) -> None:
    """Write a file that is there with all its bytes, or not at all, also after a power cut.

    Raises OSError (disk full, no permission) and then leaves no file behind.
    """
    _make_folders(target)
    temporary = target.parent / f".{target.name[:12]}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


class ContentStore:
    """Files under `root`, as `ab/<sha256>`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        """Return where the file with this hash is or would be."""
        if not _SHA256.fullmatch(sha256):
            raise ValueError("not a SHA-256")
        return self.root / sha256[:2] / sha256

    def put(self, content: bytes) -> StoredFile:
        """Store the bytes so that they survive a power cut; raise OSError if the disk is full."""
        sha256 = hashlib.sha256(content).hexdigest()
        target = self.path(sha256)
        if self.refresh(sha256, len(content)):
            # Its writer may still stand between the rename and this, and never get here.
            _make_folders(target)
            _sync_folder(target.parent)
        else:
            write_whole(target, content)
        return StoredFile(sha256, target, len(content))

    def refresh(self, sha256: str, size: int | None = None) -> bool:
        """Make an existing file young again, so that no collector takes it; tell if it is there.

        Called before relying on a file, and again inside the transaction that refers to it.
        """
        target = self.path(sha256)
        try:
            os.utime(target)
            return size is None or target.stat().st_size == size
        except OSError:
            return False

    def keep(self, sha256: str, size: int, content: Callable[[], bytes]) -> None:
        """Make sure, inside the transaction that refers to a file, that it is there and stays.

        A writer that was frozen for longer than the grace finds its file collected; then it is
        written again from `content()`. Raises OSError, and RuntimeError outside a transaction.
        """
        _hold([sha256])
        if not self.refresh(sha256, size):
            write_whole(self.path(sha256), content())

    def read(self, sha256: str) -> bytes:
        """Return the content; raise FileNotFoundError."""
        return self.path(sha256).read_bytes()

    def old_files(self) -> Iterator[str]:
        """Yield the hashes of files older than the grace."""
        for file in self.root.glob("*/*"):
            if _SHA256.fullmatch(file.name) and _is_old(file):
                yield file.name

    def remove_leftovers(self) -> int:
        """Remove what writers that died have left half-written; return how many files."""
        return sum(_unlink(file) for file in self.root.glob("*/.*.tmp") if _is_old(file))

    def delete_old(self, sha256: str) -> bool:
        """Delete one file if it is still old; only `collect` may call this, under its lock."""
        target = self.path(sha256)
        return _is_old(target) and _unlink(target)


def _is_old(file: Path) -> bool:
    try:
        return file.stat().st_mtime < time.time() - GRACE_SECONDS
    except OSError:
        return False


def _unlink(file: Path) -> bool:
    try:
        file.unlink()
    except OSError:  # gone already, or open on Windows: the next round sees it again
        return False
    return True


def _hold(hashes: Iterable[str]) -> None:
    """Keep collectors and writers off these files until the transaction ends.

    SQLite has one writer at a time and our transactions begin IMMEDIATE, so there the transaction
    itself is the lock.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("a file is tied to its row only inside the row's transaction")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for sha256 in sorted(hashes):  # one order everywhere, or two would wait for each other
                key = int.from_bytes(bytes.fromhex(sha256[:16]), signed=True)
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])


def collect(store: ContentStore, in_use: InUse) -> int:
    """Delete the files that no row names, and forgotten temporary ones; return how many files.

    `in_use` is asked outside any lock first, so that a store full of pictures costs no lane
    anything, and again under the lock for what seemed unused (protocol rule 22).
    """
    deleted = store.remove_leftovers()
    files = store.old_files()
    while batch := list(islice(files, _LOOK_AHEAD)):
        unused = deque(sorted(set(batch).difference(in_use(batch))))
        while unused:
            deleted += _delete_some(store, unused, in_use)
            time.sleep(_PAUSE_SECONDS)
    return deleted


def _delete_some(store: ContentStore, unused: deque[str], in_use: InUse) -> int:
    deleted = 0
    with transaction.atomic(durable=True):
        started = time.monotonic()
        candidates = list(islice(unused, _LOCK_FILES))
        _hold(candidates)
        used = in_use(candidates)
        for sha256 in candidates:
            unused.popleft()
            if sha256 not in used:
                deleted += store.delete_old(sha256)
            if time.monotonic() - started > _LOCK_SECONDS:
                break
    return deleted
