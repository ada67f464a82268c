"""A checksum a row, over what never changes, or only by services that are known.

SQLite finds a page that is damaged, but not a byte that has turned in the text of a cell. Rows
carry the hash of what was asked for (Job) and of what was made (Image), written with the row. An
`update` of one of these columns clears it, and the hourly look writes it anew. Where a job stands
(status, times, place, owner, server) is not covered: it changes all the time.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from mobilesd import sqlite

__all__ = [
    "IMAGE",
    "JOB",
    "Damage",
    "Guarded",
    "checked_rows",
    "damaged",
    "digest",
    "of_row",
    "without",
]


@dataclass(frozen=True)
class Guarded:
    """The columns of a table that its checksums cover; `as_json` hold JSON."""

    table: str
    order: tuple[str, ...]
    as_json: frozenset[str]

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(self.order)


JOB = Guarded(
    "jobs_job",
    ("id", "app_type", "kind", "generation_params", "checkpoint", "images_wanted"),
    frozenset({"generation_params"}),
)
IMAGE = Guarded(
    "gallery_image",
    (
        *("id", "sha256", "format", "width", "height", "bytes", "attempt", "index"),
        *("infotext", "parameters", "checkpoint", "loras", "seed"),
    ),
    frozenset({"parameters", "loras"}),
)


@dataclass(frozen=True)
class Damage:
    """A row that is not as it was written; `key` is its id as it stands there."""

    guarded: Guarded
    key: str
    rowid: int
    checksum: str


def digest(values: list[Any]) -> str:
    """Return the checksum of a row's values, in the order of its columns, as SQLite has them."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def of_row(row: Any, guarded: Guarded) -> str:
    """Return the checksum of a model's row, saved or not."""
    values = [getattr(row, name) for name in guarded.order]
    # As SQLite has them.
    return digest([value.hex if isinstance(value, UUID) else value for value in values])


def _of_stored(stored: Mapping[str, Any], guarded: Guarded) -> str:
    """Return the checksum of the values as SQLite has them; raise ValueError for broken JSON."""
    values = [
        json.loads(stored[name]) if name in guarded.as_json else stored[name]
        for name in guarded.order
    ]
    return digest(values)


def damaged(file: Path, guarded: Guarded) -> Iterator[Damage]:
    """Yield the rows of a SQLite database whose content is not what was written."""
    for rowid, stored in _rows(file, guarded, "checksum != ''"):
        try:
            right = _of_stored(stored, guarded) == stored["checksum"]
        except (ValueError, TypeError):
            right = False
        if not right:
            yield Damage(guarded, str(stored["id"]), rowid, str(stored["checksum"]))


def checked_rows(file: Path, guarded: Guarded) -> Iterator[Mapping[str, Any]]:
    """Yield the rows that are as they were written."""
    for _, stored in _rows(file, guarded, "checksum != ''"):
        try:
            if _of_stored(stored, guarded) == stored["checksum"]:
                yield stored
        except (ValueError, TypeError):
            continue


def without(file: Path, guarded: Guarded) -> Iterator[str]:
    """Yield the ids of the rows that have no checksum yet and can be read."""
    for _, stored in _rows(file, guarded, "checksum = ''"):
        try:
            _of_stored(stored, guarded)
            yield str(UUID(stored["id"]))
        except (ValueError, TypeError):
            continue


def _rows(file: Path, guarded: Guarded, which: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield rows in short reads, so that no long one keeps the write-ahead log from ending."""
    library = sqlite.library()
    names = (*guarded.order, "checksum")
    columns = ", ".join(f'"{name}"' for name in names)
    connection = library.connect(f"file:{file}?mode=ro", uri=True, timeout=20)
    # A byte that has turned may be no UTF-8 any more, and must not keep us from the other rows.
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    last = -1
    try:
        while True:
            found = connection.execute(
                f"SELECT rowid, {columns} FROM {guarded.table}"
                f" WHERE rowid > ? AND {which} ORDER BY rowid LIMIT 500",
                [last],
            ).fetchall()
            for rowid, *values in found:
                yield rowid, dict(zip(names, values, strict=True))
            if not found:
                return
            last = found[-1][0]
    finally:
        connection.close()
