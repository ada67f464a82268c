"""The relay's own view of the event tables: a connection beside the ORM, used by one thread.

The ORM's connection does not serve: Channels closes it on each dispatch, and `PRAGMA data_version`
does not count a connection's own writes (stack.md §1.3).
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from django.db import connections

from jobs.events import NOTIFY_CHANNEL
from jobs.models import Event, Job, LiveEvent
from mobilesd import sqlite

__all__ = ["EventRow", "Position", "Tail", "open_tail"]

POLL_SECONDS = 0.03
IDLE_SECONDS = 1.0
BATCH = 200

_EVENTS = Event._meta.db_table
_LIVE = LiveEvent._meta.db_table
_JOBS = Job._meta.db_table


@dataclass(frozen=True)
class Position:
    """The last ids that were read of the two tables."""

    event: int
    live: int


@dataclass(frozen=True)
class EventRow:
    """One event as stored; `durable` ones have ids that clients resume by.

    `job` is the hexadecimal id of its job, or ""; `key_prefix` the key that made a job of nobody.
    """

    id: int
    durable: bool
    kind: str
    owner_id: int | None
    key_prefix: str | None
    public: bool
    job: str
    payload: dict[str, Any]


class Tail(Protocol):
    def newest(self) -> Position:
        """Return the ids of the newest rows."""

    def after(self, position: Position) -> Sequence[EventRow]:
        """Return up to BATCH rows of each table, durable ones first, each in the order of ids."""

    def wait(self, seconds: float = IDLE_SECONDS) -> bool:
        """Return when there may be new rows, or after a time; tell which of the two.

        False alarms are allowed.
        """

    def close(self) -> None: ...


def _newest() -> str:
    return (
        f"SELECT COALESCE((SELECT MAX(id) FROM {_EVENTS}), 0),"
        f" COALESCE((SELECT MAX(id) FROM {_LIVE}), 0)"
    )


def _after(table: str, mark: str) -> str:
    return (
        "SELECT e.id, e.kind, e.owner_id, j.api_key_id, e.public, e.job_id, e.payload"
        f" FROM {table} e"
        f" LEFT JOIN {_JOBS} j ON j.id = e.job_id AND j.owner_id IS NULL"
        f" WHERE e.id > {mark} ORDER BY e.id LIMIT {BATCH}"
    )


def _row(durable: bool, found: Sequence[Any]) -> EventRow:
    number, kind, owner_id, key_prefix, public, job_id, payload = found
    return EventRow(
        id=number,
        durable=durable,
        kind=kind,
        owner_id=owner_id,
        key_prefix=key_prefix,
        public=bool(public),
        job="" if job_id is None else str(job_id).replace("-", ""),
        payload=json.loads(payload) if isinstance(payload, str) else payload,
    )


class _SqlTail:
    """What both databases share; `mark` stands for a parameter in a statement."""

    mark = "?"
    _database: Any

    def newest(self) -> Position:
        return Position(*self._database.execute(_newest()).fetchone())

    def after(self, position: Position) -> Sequence[EventRow]:
        durable = self._database.execute(_after(_EVENTS, self.mark), [position.event]).fetchall()
        live = self._database.execute(_after(_LIVE, self.mark), [position.live]).fetchall()
        return [*(_row(True, r) for r in durable), *(_row(False, r) for r in live)]

    def close(self) -> None:
        self._database.close()


class SqliteTail(_SqlTail):
    """A read-only connection that looks at the database's change counter."""

    def __init__(self, path: str) -> None:
        self._database = sqlite.library().connect(
            f"{Path(path).resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=1
        )
        self._version = -1

    def wait(self, seconds: float = IDLE_SECONDS) -> bool:
        deadline = time.monotonic() + seconds
        while True:
            version = self._database.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version:
                self._version = version
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_SECONDS)


class PostgresTail(_SqlTail):
    """A connection that listens to the notification of `jobs.events`."""

    mark = "%s"

    def __init__(self) -> None:
        wrapper: Any = connections.create_connection("default")
        wrapper.ensure_connection()
        self._database = wrapper.connection
        self._database.execute(f"LISTEN {NOTIFY_CHANNEL}")

    def wait(self, seconds: float = IDLE_SECONDS) -> bool:
        return any(True for _ in self._database.notifies(timeout=seconds, stop_after=1))


def open_tail() -> Tail:
    """Open a connection of the calling thread's own to the database in use."""
    database = connections["default"]
    if database.vendor == "postgresql":
        return PostgresTail()
    return SqliteTail(str(database.settings_dict["NAME"]))
