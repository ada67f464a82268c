"""Mending rows whose content has turned, from the journal and the backups."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from jobs import journal
from jobs.checksums import IMAGE, JOB, Damage, Guarded, checked_rows, damaged, digest
from mobilesd import sqlite
from mobilesd.backups import snapshots

__all__ = ["mend"]

_Values = Mapping[str, Any]


class _Known:
    """Rows as they were written, by checksum and by id: either may be what has turned."""

    def __init__(self, guarded: Guarded, rows: Iterator[_Values]) -> None:
        self._by_checksum: dict[str, _Values] = {}
        self._by_id: dict[str, _Values] = {}
        for row in rows:
            self._by_checksum[row["checksum"]] = row
            self._by_id[row["id"]] = row

    def row(self, checksum: str, key: str) -> _Values | None:
        return self._by_checksum.get(checksum) or self._by_id.get(key)


def mend() -> tuple[int, list[Damage]]:
    """Write damaged rows anew where it is known what they were; return how many, and the others."""
    file = snapshots.database_file()
    mended, left = 0, []
    told = journal.read()
    for guarded, records in (
        (JOB, list(told.jobs.values())),
        (IMAGE, told.pictures),
    ):
        broken = list(damaged(file, guarded))
        if not broken:
            continue
        sources = [_Known(guarded, _of_journal(guarded, records))]
        sources += [
            _Known(guarded, checked_rows(snapshot.path, guarded))
            for snapshot in snapshots.snapshots()
        ]
        for damage in broken:
            found = (source.row(damage.checksum, damage.key) for source in sources)
            row = next((row for row in found if row is not None), None)
            if row is None:
                left.append(damage)
            else:
                _write(file, damage, row)
                mended += 1
    return mended, left


def _of_journal(guarded: Guarded, records: Sequence[_Values]) -> Iterator[_Values]:
    defaults: dict[str, Any] = {"index": 0, "images_wanted": 1, "kind": "txt2img", "loras": []}
    for record in records:
        if "generation_params" not in record and guarded is JOB:
            continue
        values = {
            name: record.get(name, defaults.get(name, {} if name in guarded.as_json else ""))
            for name in guarded.order
        }
        for name in ("id", "attempt"):
            if name in values:
                values[name] = UUID(str(values[name])).hex
        checksum = digest([values[name] for name in guarded.order])
        if checksum != record.get("checksum"):
            continue  # changed since, by somebody who cleared the checksum
        yield {
            **{
                name: json.dumps(value) if name in guarded.as_json else value
                for name, value in values.items()
            },
            "checksum": checksum,
        }


def _write(file: Path, damage: Damage, row: _Values) -> None:
    """Write the row; its indexes first, as they know it by what has turned.

    Not by Django's connection: what SQLite says of a damaged index would end this process.
    """
    names = [*damage.guarded.order, "checksum"]
    table = damage.guarded.table
    with contextlib.closing(sqlite.library().connect(file, timeout=20)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"REINDEX {table}")
        assigned = ", ".join(f'"{name}" = ?' for name in names)
        connection.execute(
            f"UPDATE {table} SET {assigned} WHERE rowid = ?",
            [*(row[name] for name in names), damage.rowid],
        )
