"""What is kept of each attempt, and where: one file each, whole or not there."""

import json
import logging
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from mobilesd_forge.disk import TEMPORARY, write_whole

__all__ = ["FINAL", "Record", "Records", "Stored", "is_token"]

log = logging.getLogger(__name__)

FINAL = frozenset({"done", "failed", "cancelled", "lost", "closed"})
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{7,63}")
_SUFFIX = ".job"
_LONGEST_HEAD = 64 * 1024


def is_token(text: str) -> bool:
    """Tell whether this can name an attempt: a file has this name."""
    return _TOKEN.fullmatch(text) is not None


@dataclass(frozen=True)
class Record:
    """One attempt. Times are of this machine's clock.

    `status` is that of the program's own answer. "closed" is what nobody asks for any more; it
    stays for a while, so that a late request with the same token makes no second run.
    """

    token: str
    kind: str = ""
    state: str = "queued"
    created_at: float = 0.0
    began_at: float | None = None
    ended_at: float | None = None
    status: int | None = None
    interrupted: bool = False
    cancelling: bool = False
    closing: bool = False
    bytes: int = 0


@dataclass(frozen=True)
class Stored:
    """An answer on disk: it begins at `offset` in the file."""

    file: Path
    offset: int
    size: int


class Records:
    """Reads and writes the files in one folder.

    The first line of a file is the record, the rest is the answer: a state and its pictures can't
    be there one without the other.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self) -> Iterable[Record]:
        """Yield all records; what can't be read is named in the log and left alone."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(self._folder.iterdir()):
            if file.name.startswith(TEMPORARY):
                file.unlink(missing_ok=True)  # what a crash left half-written
            elif file.suffix == _SUFFIX and is_token(file.stem):
                try:
                    yield _read(file)
                except (OSError, ValueError, TypeError) as error:
                    log.warning("%s can't be read: %s", file.name, error)

    def save(self, record: Record, answer: bytes = b"") -> None:
        """Write a record with its answer; raises OSError, and nothing is changed then."""
        write_whole(self._file(record.token), _head(record) + answer)

    def answer(self, token: str) -> Stored | None:
        """Return where the answer of an attempt lies."""
        file = self._file(token)
        try:
            with file.open("rb") as stream:
                offset = len(stream.readline(_LONGEST_HEAD))
            size = file.stat().st_size - offset
        except OSError:
            return None
        return Stored(file, offset, size) if size > 0 else None

    def remove(self, token: str) -> None:
        """Remove a record with its answer; raises OSError."""
        self._file(token).unlink(missing_ok=True)

    def _file(self, token: str) -> Path:
        return self._folder / f"{token}{_SUFFIX}"


def _head(record: Record) -> bytes:
    return json.dumps(asdict(record)).encode() + b"\n"


def _read(file: Path) -> Record:
    with file.open("rb") as stream:
        found = json.loads(stream.readline(_LONGEST_HEAD))
    known = {field.name for field in fields(Record)}
    return Record(**{**{k: v for k, v in found.items() if k in known}, "token": file.stem})
