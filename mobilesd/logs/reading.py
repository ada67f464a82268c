"""Finding the lines of a job or a request in the files of all processes."""

import contextlib
import json
import mmap
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nlargest
from pathlib import Path
from typing import Any

from mobilesd.logs.files import log_files

__all__ = ["Follower", "Found", "LogLine", "lines_about", "read_line"]

_SAME = ("job", "request_id", "pid")
_ABOUT = ("at", "level", "logger", "event", "exception")


@dataclass(frozen=True)
class LogLine:
    """One line: when, what and about what; `rest` holds its other fields."""

    at: str
    level: str
    logger: str
    text: str
    exception: str
    rest: dict[str, Any] = field(default_factory=dict)
    raw: str = ""

    @property
    def time(self) -> datetime | None:
        """Return when it was logged, or None for a line that does not say so."""
        try:
            return datetime.fromisoformat(self.at)
        except ValueError:
            return None

    @property
    def details(self) -> str:
        """Return the other fields as `name=value`, without those that all lines of a job have."""
        shown = (item for item in self.rest.items() if item[0] not in _SAME)
        return " ".join(f"{name}={value}" for name, value in shown)


@dataclass(frozen=True)
class Found:
    """The newest lines, oldest first; `complete` false: there are more of them."""

    lines: Sequence[LogLine]
    complete: bool


def lines_about(
    folder: Path, words: Collection[str], *, job: str = "", most: int | None = None
) -> Found:
    """Return the lines with one of these ids, of all files, in the order of time.

    With `job` a line that names another job is left out: the request of a batch has many.
    """
    found = (
        line
        for path in log_files(folder)
        for line in _in_file(path, [word.encode() for word in words if word])
        if not job or line.rest.get("job", job) == job
    )
    if most is None:
        return Found(sorted(found, key=_at), complete=True)
    newest = nlargest(most + 1, found, key=_at)
    return Found(newest[:most][::-1], complete=len(newest) <= most)


def _at(line: LogLine) -> str:
    return line.at


def _in_file(path: Path, words: Sequence[bytes]) -> Iterator[LogLine]:
    try:
        with path.open("rb") as stream:
            if not path.stat().st_size:
                return
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                for raw in _with_words(content, words):
                    line = read_line(raw)
                    if line is not None:
                        yield line
    except (OSError, ValueError):
        return  # set aside or emptied meanwhile: the others are still worth reading


def _with_words(content: mmap.mmap, words: Sequence[bytes]) -> Iterator[bytes]:
    """Yield each line once, in which one of the words stands."""
    for word in words:
        position = 0
        while (hit := content.find(word, position)) >= 0:
            start = content.rfind(b"\n", 0, hit) + 1
            end = content.find(b"\n", hit)
            position = end if end >= 0 else len(content)
            raw = content[start:position]
            earlier = words[: words.index(word)]
            if not any(other in raw for other in earlier):
                yield raw


def read_line(raw: bytes) -> LogLine | None:
    """Read one line of a file; None for half a one (a full disk, a power cut)."""
    try:
        found = json.loads(raw)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    at, level, logger, text, exception = (str(found.get(name, "")) for name in _ABOUT)
    rest = {name: value for name, value in found.items() if name not in _ABOUT}
    return LogLine(at, level, logger, text, exception, rest, raw.decode("utf-8", "replace"))


class Follower:
    """Gives the lines that came since it was made, or since it was asked last."""

    def __init__(self, folder: Path, words: Collection[str], *, job: str = "") -> None:
        self._folder = folder
        self._words = [word.encode() for word in words if word]
        self._job = job
        self._read: dict[tuple[int, int], int] = {}
        for path in log_files(folder):
            with contextlib.suppress(OSError):
                found = path.stat()
                self._read[found.st_dev, found.st_ino] = found.st_size

    def new_lines(self) -> list[LogLine]:
        """Return the new lines in the order of time; a file set aside is read to its end."""
        found = []
        for path in log_files(self._folder):
            with contextlib.suppress(OSError):
                found += self._new_in(path)
        return sorted(found, key=_at)

    def _new_in(self, path: Path) -> list[LogLine]:
        with path.open("rb") as stream:
            state = os.fstat(stream.fileno())
            place = (state.st_dev, state.st_ino)  # stays with a file that is renamed
            stream.seek(self._read.get(place, 0))
            content = stream.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._read[place] = self._read.get(place, 0) + len(whole)
        hits = (raw for raw in whole.splitlines() if any(word in raw for word in self._words))
        lines = [line for raw in hits if (line := read_line(raw)) is not None]
        return [
            line for line in lines if not self._job or line.rest.get("job", self._job) == self._job
        ]
