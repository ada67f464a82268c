"""Reading another program's SQLite database while that program may be writing it.

It is copied by SQLite's own backup, read-only, and only the copy is looked at: the other program
never waits for us. Nothing in the file is trusted: its views and triggers are never run.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jobs.exchange.console import refuse_own_files
from mobilesd.errors import InvalidInput
from mobilesd.sqlite import library

__all__ = ["columns_of", "copied", "rows_of"]

_PAGES = 2_000
_PATIENCE_SECONDS = 20.0  # without a page being copied: the other program holds it locked
_MAX_VALUE = 512 * 1024 * 1024


class _Locked(Exception):
    pass


@contextmanager
def copied(path: Path) -> Iterator[Any]:
    """Yield a connection to a copy of a database, read-only; raise InvalidInput, OSError."""
    if not path.is_file():
        raise InvalidInput(f"There is no file {path}.", hint="Check the path.")
    refuse_own_files(path)
    sqlite3 = library()
    with tempfile.TemporaryDirectory(prefix="mobilesd-import-") as folder:
        copy = Path(folder) / "copy.sqlite3"
        try:
            _copy(sqlite3, path, copy)
            with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
                _lock_down(sqlite3, connection)
                yield connection
        except _Locked:
            raise InvalidInput(
                f"{path.name} is locked: another program is writing it.",
                hint="Close that program, or try again in a minute.",
            ) from None
        except sqlite3.Error as error:
            raise InvalidInput(
                f"{path.name} can't be read as a SQLite database: {error}.",
                hint="If its program was not closed properly, start and close it once. Copy the"
                " file together with those beside it that end in -wal or -journal.",
            ) from None


def _copy(sqlite3: Any, source: Path, copy: Path) -> None:
    moved = [time.monotonic(), -1]

    def watch(_: int, remaining: int, __: int) -> None:
        if remaining != moved[1]:
            moved[:] = [time.monotonic(), remaining]
        elif time.monotonic() - moved[0] > _PATIENCE_SECONDS:
            raise _Locked

    uri = f"file:{quote(str(source.resolve()))}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True, timeout=1)) as there,
        closing(sqlite3.connect(copy)) as here,
    ):
        there.backup(here, pages=_PAGES, progress=watch, sleep=0.1)


def _lock_down(sqlite3: Any, connection: Any) -> None:
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "query_only=ON", "mmap_size=0"):
        connection.execute(f"PRAGMA {pragma}")
    if hasattr(connection, "setlimit"):  # pysqlite3 has none, and SQLite's own limit of 1 GB
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE)
    # Text that is no UTF-8 is shown with marks, and does not stop the reading.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")


def columns_of(connection: Any, table: str) -> set[str]:
    """Return the columns of a table; nothing for a view, or if there is none of that name."""
    found = connection.execute(
        "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)
    ).fetchone()
    # A virtual table runs code of its own.
    if found is None or not str(found[0]).lstrip().upper().startswith("CREATE TABLE"):
        return set()
    return {row[1] for row in connection.execute("SELECT * FROM pragma_table_info(?)", (table,))}


def rows_of(
    connection: Any, table: str, columns: Sequence[str], order: str
) -> Iterator[dict[str, Any]]:
    """Yield rows, one at a time; a column that the table lacks is None.

    `columns` are names, or `length(name)`. They, `table` and `order` are ours, never of the file.
    """
    there = columns_of(connection, table)
    own = [(name, name.removeprefix("length(").rstrip(")")) for name in columns]
    chosen = ", ".join(name if bare in there else "NULL" for name, bare in own)
    cursor = connection.execute(f"SELECT {chosen} FROM {table} ORDER BY {order}")
    for values in cursor:
        yield dict(zip(columns, values, strict=True))
