"""What a recovery did, in words, and kept for whoever was not there."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

__all__ = ["Passage", "Report", "dismiss", "rebuilt", "reports"]

_MOST_NAMED = 20


def rebuilt(trouble: str, base: str) -> str:
    """Return what a recovery did, in a sentence."""
    return f"The database was damaged ({trouble}) and was rebuilt from {base}."


@dataclass(frozen=True)
class Passage:
    """A sentence, and the jobs that it is about; the first of them, if they are many."""

    text: str
    jobs: Sequence[str] = ()

    @property
    def named(self) -> Sequence[str]:
        """Return the jobs that are named."""
        return self.jobs[:_MOST_NAMED]

    @property
    def rest(self) -> int:
        """Return how many more there are."""
        return max(0, len(self.jobs) - _MOST_NAMED)

    def __str__(self) -> str:
        if not self.jobs:
            return self.text
        more = f" and {self.rest} more" if self.rest else ""
        return f"{self.text} {', '.join(self.named)}{more}"


@dataclass(frozen=True)
class Report:
    """What was wrong, what the new database was made from, and what came back."""

    at: str
    trouble: str
    base: str
    set_aside: str
    counts: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    dismissed: bool = False

    @property
    def passages(self) -> list[Passage]:
        """Return the report in words."""
        return list(self._passages())

    @property
    def sentences(self) -> list[str]:
        """Return the report in words, as lines."""
        return [str(passage) for passage in self._passages()]

    def _passages(self) -> Iterator[Passage]:
        counts = self.counts
        yield Passage(rebuilt(self.trouble, self.base))
        yield Passage(
            "From the journal and the pictures on disk came back:"
            f" {_number(counts, 'jobs_again', 'job')},"
            f" the state of {counts.get('jobs_changed', 0)} more,"
            f" {_number(counts, 'pictures_again', 'picture')}."
        )
        yield Passage(f"Jobs that wait to be made: {counts.get('to_run', 0)}.")
        # Reports of other versions have other counts.
        for name, (noun, text) in _COUNTED.items():
            if counts.get(name):
                yield Passage(text.format(_number(counts, name, noun)))
        for name, text in _NAMED.items():
            if counts.get(name):
                yield Passage(text, counts[name])
        if lost := counts.get("jobs_lost"):  # no page has them
            text = "Not found again, as their lines in the journal are unreadable:"
            yield Passage(str(Passage(text, lost)))
        if not self.base.startswith("the database itself"):
            yield Passage(
                "Changes of servers, keys, users, settings and the order of the queue since then"
                " are not in the journal: look at them."
            )
        yield Passage(f"The old files are kept in {self.set_aside}.")


# Counts with a sentence for each that is not 0, and those of jobs, which are named after it.
_COUNTED = {
    "pictures_without_job": (
        "picture",
        "On disk, but of no certain job: {}. In the gallery without one, for administrators.",
    ),
    "pictures_lost": ("picture", "Left out, as the file is gone: {}."),
    "pictures_unseen": (
        "picture",
        "The folder of pictures is empty: is its disk there? Kept without a file: {}.",
    ),
    "damaged_lines": (
        "line",
        "Damaged in the journal: {}. A job that only such a line tells of is lost.",
    ),
}
_NAMED = {
    "jobs_without_owner": (
        "Without an owner now, as their user or key came after the backup; only administrators see"
        " them:"
    ),
    "jobs_without_pictures": "Jobs of which pictures are missing:",
}


def _number(counts: Mapping[str, Any], name: str, noun: str) -> str:
    number = counts.get(name, 0)
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# --- Kept ---------------------------------------------------------------------------------


def _folder() -> Path:
    return Path(settings.DATA_DIR) / "recoveries"


def reports() -> list[Report]:
    """Return the reports of all recoveries, the newest first."""
    found = []
    for path in sorted(_folder().glob("*.json"), reverse=True):
        with contextlib.suppress(OSError, ValueError, TypeError):
            told = json.loads(path.read_text(encoding="utf-8"))
            told["dismissed"] = path.name.endswith(".read.json")
            found.append(Report(**{**told, "name": path.name.split(".")[0]}))
    return found


def dismiss(name: str) -> None:
    """Show the notice of one recovery no more; its report stays."""
    path = _folder() / f"{Path(name).name}.json"
    with contextlib.suppress(OSError):
        path.rename(path.with_name(f"{path.stem}.read.json"))
