"""Rules over the log files that were set aside; those that are written now stay."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from jobs.models import Retention
from mobilesd.logs.files import FOLDER, log_files
from mobilesd.retention.figures import GIGABYTE, Figure

__all__ = ["LogFiles"]

_DAY = 86_400


@dataclass(frozen=True)
class _File:
    path: Path
    at: float
    bytes: int


@dataclass(frozen=True)
class LogFiles:
    """The log files that are full: the settings bound them too, by size and number."""

    name: str
    label: str

    def figure(self, rule: Retention, *, fresh: bool) -> Figure:
        """Return what the rule would delete."""
        found = list(_doomed(rule))
        return Figure(len(found), sum(file.bytes for file in found))

    def apply(self, rule: Retention) -> int:
        """Delete what is beyond the limits; return how many."""
        deleted = 0
        for file in _doomed(rule):
            with contextlib.suppress(OSError):  # open on Windows, or renamed just now: next time
                file.path.unlink()
                deleted += 1
        return deleted


def _full() -> Iterator[_File]:
    for path in log_files(Path(settings.DATA_DIR) / FOLDER):
        if path.suffix.removeprefix(".").isdigit():
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                yield _File(path, found.st_mtime, found.st_size)


def _doomed(rule: Retention) -> Iterator[_File]:
    size = 0
    newest_first = sorted(_full(), key=lambda file: file.at, reverse=True)
    for number, file in enumerate(newest_first, 1):
        size += file.bytes
        if (
            (rule.days is not None and file.at < time.time() - rule.days * _DAY)
            or (rule.most is not None and number > rule.most)
            or (rule.gigabytes is not None and size > rule.gigabytes * GIGABYTE)
        ):
            yield file
