"""What was accepted and how it ended, once more: an append-only file beside the database.

A damaged database is rebuilt from its newest good backup; the journal knows what came after it. A
line is written and fsynced after the commit and before the answer, one write for all that shared
the commit (`mobilesd.commits`). For SQLite only: PostgreSQL keeps a log of its own.

Lines are `<crc32> <json>`. Records: `job` (some of its columns; later ones win), `batch`, `key`
(idempotency), `need` (a dependency), `image`, `gone` (jobs deleted for good), and `seen`: the
newest event id that was committed then, by which a database that is older than its journal is
known.
"""

import contextlib
import json
import logging
import os
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, connection, models, transaction
from django.utils import timezone

from jobs.choices import FINAL, Status
from jobs.models import Batch, Job

__all__ = [
    "Told",
    "add",
    "batch",
    "files",
    "folder",
    "gone",
    "job",
    "read",
    "record_of",
    "seen",
    "silent",
    "told_event",
    "trouble",
]

log = logging.getLogger(__name__)

# Kept in memory while the disk takes nothing; the next backup holds them anyway.
_MOST_KEPT = 20_000
# Read from the end of a file to find its last lines: a job's row has at most 256 kB.
_TAIL = 2 * 1024 * 1024

_Record = Mapping[str, Any]

# What an event calls otherwise than the job's row.
_COLUMNS = {"queue_position": "position", "lane": "lane_class"}


def folder() -> Path:
    """Return where the journal's files are."""
    return Path(settings.DATA_DIR) / "journal"


def files() -> list[Path]:
    """Return the files of the journal, in the order of their writing."""
    return sorted(folder().glob("*.log"))


# --- What is told -------------------------------------------------------------------------


class _Committed(threading.local):
    """The records of this thread whose transaction has committed, and that are not written."""

    def __init__(self) -> None:
        self.records: list[_Record] = []
        self.silent = False


_committed = _Committed()


def add(records: Sequence[_Record]) -> None:
    """Write these once the transaction has committed; nothing if it is rolled back."""
    if connection.vendor != "sqlite" or not records or _committed.silent:
        return
    stamped = [{"at": time.time(), **record} for record in records]
    if not connection.in_atomic_block:
        _committed.records += stamped
        _flush()
        return
    # Before all other hooks, so that the first `_flush` finds the records of everybody who shares
    # the transaction, and writes them with one fsync; the others find nothing left.
    hooks: list[Any] = connection.run_on_commit
    hooks.insert(0, (set(connection.savepoint_ids), partial(_collect, stamped), True))
    # Robust: who leads the others' commit must not take it for a failed one.
    transaction.on_commit(_flush, robust=True)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Tell nothing meanwhile in this thread: what is done then comes from the journal."""
    _committed.silent = True
    try:
        yield
    finally:
        _committed.silent = False


def record_of(row: models.Model) -> dict[str, Any]:
    """Return the columns of a row that differ from their defaults, and its key."""
    found = {}
    for column in row._meta.concrete_fields:
        value = getattr(row, column.attname)
        if column.primary_key or column.default is models.NOT_PROVIDED or callable(column.default):
            keep = value is not None
        else:
            keep = value != column.default
        if keep:
            found[column.attname] = value
    return found


def job(row: Job) -> None:
    """Tell a job as a whole: it was just accepted, or changed."""
    add([{"job": {**record_of(row), "deleted_at": row.deleted_at}}])


def batch(row: Batch) -> None:
    """Tell a batch."""
    add([{"batch": record_of(row)}])


def gone(job_ids: Iterable[UUID]) -> None:
    """Tell that these jobs were deleted for good."""
    ids = [str(job_id) for job_id in job_ids]
    if ids:
        add([{"gone": ids}])


def told_event(kind: str, told: Iterable[tuple[Job, Mapping[str, Any]]]) -> None:
    """Tell what an event says of jobs: every change of a job has one (`jobs.events`)."""
    if connection.vendor == "sqlite":
        add([record for job, payload in told if (record := _of_event(kind, job, payload))])


def _of_event(kind: str, row: Job, payload: Mapping[str, Any]) -> _Record | None:
    now = timezone.now()
    if kind == "job.created":
        return {"job": {**record_of(row), "deleted_at": None}}
    if kind == "job.deleted":
        return {"job": {"id": row.pk, "deleted_at": now, "updated_at": now}}
    status = payload.get("status")
    if kind not in ("job.status", "job.changed") or status == Status.PROCESSING:
        return None
    # Only what the event names: the row may have been read before the change, or in part.
    names = [_COLUMNS.get(name, name) for name in payload.get("fields") or ()]
    if "generation_params" in names:
        names += ["kind", "checkpoint", "images_wanted", "warnings", "checksum"]
    if kind == "job.status":
        names += ["attempts_made", "generation_params", "checksum"]
        names += ["generation_info", "warnings", "started_at"] if status in FINAL else []
    values = {name: row.__dict__[name] for name in names if name in row.__dict__}
    trouble = payload.get("error") or {}
    values |= {
        "id": row.pk,
        "status": status,
        "updated_at": now,
        "deleted_at": None,
        "finished_at": now if status in FINAL else None,
        "error_code": trouble.get("code", ""),
        "error_message": trouble.get("message", ""),
        "error_hint": trouble.get("hint", ""),
    }
    return {"job": values}


# --- Writing ------------------------------------------------------------------------------


def _line(record: _Record) -> bytes:
    text = json.dumps(record, cls=DjangoJSONEncoder, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


class _Writer:
    """The file that this process appends to. Several processes append to one file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._descriptor = -1
        self._kept: list[bytes] = []
        self._torn = True  # whoever wrote before us may have been cut off in a line
        self.trouble = ""

    def write(self, lines: Sequence[bytes]) -> None:
        """Append the lines so that they survive a power cut; never raise: they are committed."""
        with self._lock:
            self._kept += lines
            try:
                self._append(b"".join(self._kept))
            except OSError as error:
                self._torn = True
                del self._kept[:-_MOST_KEPT]
                if not self.trouble:
                    log.error("the journal can't be written: %s", error)
                self.trouble = (
                    f"The journal can't be written ({error.strerror or error}). Jobs are safe in"
                    " the database; until this ends, a damaged database would lose the newest."
                )
            else:
                self._kept.clear()
                self.trouble = ""

    def _append(self, content: bytes) -> None:
        descriptor = self._open()
        if self._torn:
            content = b"\n" + content
        while content:  # a disk that is just full takes a part, and says why at the next
            content = content[os.write(descriptor, content) :]
        os.fsync(descriptor)
        self._torn = False

    def _open(self) -> int:
        path = folder() / f"{datetime.now(UTC):%Y%m%d-%H}.log"
        if path == self._path and os.fstat(self._descriptor).st_nlink:
            return self._descriptor
        if self._path is not None:
            os.close(self._descriptor)
            self._path = None
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._path, self._torn = path, True
        if os.name != "nt":  # folders can't be opened there
            folders = (path.parent, path.parent.parent)
            for made in folders:
                descriptor = os.open(made, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        return self._descriptor


_writer = _Writer()


def trouble() -> str:
    """Return what keeps this process from writing its journal, as a sentence, or ""."""
    return _writer.trouble


def _collect(records: Sequence[_Record]) -> None:
    _committed.records += records


def _flush() -> None:
    records, _committed.records = _committed.records, []
    if not records:
        return
    with contextlib.suppress(DatabaseError), connection.cursor() as cursor:
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = 'jobs_event'")
        if row := cursor.fetchone():
            records.append({"seen": row[0]})
    _writer.write([_line(record) for record in records])


# --- Reading ------------------------------------------------------------------------------


@dataclass
class Told:
    """All that the journal tells. Columns by name, as JSON has them; jobs by their id."""

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    images: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    keys: list[dict[str, Any]] = field(default_factory=list)
    needs: list[dict[str, Any]] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    seen: int = 0
    unreadable: int = 0

    def _take(self, record: Mapping[str, Any]) -> None:
        if found := record.get("job"):
            self.jobs.setdefault(found["id"], {}).update(found)
        elif found := record.get("batch"):
            self.batches[found["id"]] = found
        elif found := record.get("image"):
            self.images[found["attempt"], found.get("index", 0)] = found
        elif found := record.get("key"):
            self.keys.append(found)
        elif found := record.get("need"):
            self.needs.append(found)
        elif found := record.get("gone"):
            self.gone.update(found)


def seen() -> int:
    """Return the newest event id that the end of the journal tells; 0 without any."""
    newest = 0
    for path in reversed(files()):
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - _TAIL))
            for line in stream:
                record = _parsed(line)
                if record is not None:
                    newest = max(newest, int(record.get("seen", 0)))
        if newest:
            break
    return newest


def read(paths: Iterable[Path] | None = None) -> Told:
    """Return what the files tell; lines that were cut off or damaged are counted and left out."""
    told = Told()
    records = []
    for path in files() if paths is None else paths:
        for line in _lines(path):
            record = _parsed(line)
            if record is None:
                told.unreadable += 1
            elif "seen" in record:
                told.seen = max(told.seen, int(record["seen"]))
            else:
                records.append(record)
    # Several processes append: a line may stand behind one of a later commit.
    for record in sorted(records, key=lambda record: float(record.get("at", 0))):
        told._take(record)
    return told


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        for line in stream:
            if line.strip():
                yield line


def _parsed(line: bytes) -> dict[str, Any] | None:
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(text):
            return None
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
