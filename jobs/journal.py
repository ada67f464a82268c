"""What was accepted and how it ended, once more: an append-only file beside the database.

A damaged database is rebuilt from its newest good backup; the journal knows what came after it. A
line is written and fsynced after the commit and before the answer, one write for all that shared
the commit (`mobilesd.commits`). For SQLite only: PostgreSQL keeps a log of its own.

Lines are `<crc32> <json>`. Records: `job` (some of its columns; later ones win), `batch`, `key`
(idempotency), `need` (a dependency), `need_gone` (one that was let go), `image`, `images_gone`
(deleted pictures), and `result`: what an attempt has made, written *before* the commit that stores
it, so that a file on disk is never without its owner. Each has the newest event id that its
transaction knew, as `event`: ids are in the order of commits, which neither a clock that was put
back nor the order of the lines is. By it a database that is older than its journal is known, and
what a backup has already.
"""

import contextlib
import json
import logging
import os
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models, transaction
from django.utils import timezone

from jobs.checksums import JOB, of_row
from jobs.choices import FINAL, Status
from jobs.models import Batch, Job, JobDependency

__all__ = [
    "Told",
    "add",
    "batch",
    "files",
    "folder",
    "images_gone",
    "may_be_written",
    "needs",
    "needs_gone",
    "read",
    "record_of",
    "result",
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
    """Return the files of the journal, by the hours of their names."""
    return sorted(folder().glob("*.log"))


def may_be_written(path: Path) -> bool:
    """Tell whether a process may append to this file still: it is of this hour or the last one."""
    return path.name >= _name(datetime.now(UTC) - timedelta(hours=1))


def _name(at: datetime) -> str:
    return f"{at:%Y%m%d-%H}.log"


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
    known = _newest_event()
    stamped = [{"event": known, **record} for record in records]
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


def _newest_event() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = 'jobs_event'")
        row = cursor.fetchone()
    return int(row[0]) if row else 0


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


def batch(row: Batch) -> None:
    """Tell a batch."""
    add([{"batch": record_of(row)}])


def images_gone(image_ids: Iterable[UUID]) -> None:
    """Tell that these pictures were deleted: a recovery must not bring them back."""
    ids = [str(image_id) for image_id in image_ids]
    if ids:
        add([{"images_gone": ids}])


def needs(rows: Iterable[JobDependency]) -> None:
    """Tell new dependencies."""
    add([{"need": {**record_of(row), "id": None}} for row in rows])


def needs_gone(job_id: UUID, parents: Iterable[UUID]) -> None:
    """Tell that a job waits for these no more: a recovery must not let it wait again."""
    add([{"need_gone": {"job_id": job_id, "parent_id": parent}} for parent in parents])


def result(
    token: UUID,
    row: Job,
    images: Iterable[models.Model],
    *,
    round_info: Mapping[str, Any] | None = None,
) -> None:
    """Tell what an attempt has made; call it before the transaction that stores it.

    `asked` is the hash of what was asked for then: pictures of what a job asked for before it was
    changed are not its result. `round_info`: of a round that others follow, the generation_info of
    all pictures so far.
    """
    made = {
        "attempt": token,
        "job": row.pk,
        "asked": of_row(row, JOB),
        "images": [record_of(image) for image in images],
        **({} if round_info is None else {"round_info": round_info}),
    }
    add([{"result": made}])


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
        names += ["images_made"] if status in FINAL else []
    values = {name: row.__dict__[name] for name in names if name in row.__dict__}
    values |= {"id": row.pk, "status": status, "updated_at": now, "deleted_at": None}
    if kind == "job.status":  # else it says nothing of how, or when, the job came to its status
        trouble = payload.get("error") or {}
        values |= {
            "attempt": payload.get("attempt"),  # whose result completed it
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
        path = folder() / _name(datetime.now(UTC))
        if path == self._path and self._is_there(path):
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

    def _is_there(self, path: Path) -> bool:
        """Tell whether the file is the open one: a restore sets the journal aside."""
        try:
            return os.path.samestat(path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False


_writer = _Writer()


def trouble() -> str:
    """Return what keeps this process from writing its journal, as a sentence, or ""."""
    return _writer.trouble


def _collect(records: Sequence[_Record]) -> None:
    # In front: of one commit the last hook that was put in front runs first, and a dependency that
    # was let go and tied anew has to be told in this order.
    _committed.records[:0] = records


def _flush() -> None:
    records, _committed.records = _committed.records, []
    if records:
        _writer.write([_line(record) for record in records])


# --- Reading ------------------------------------------------------------------------------


@dataclass
class Told:
    """All that the journal tells. Columns by name, as JSON has them; jobs by their id.

    `results` by the token of the attempt; `needs` by job and parent, None where the job was let go.
    `cut_off` counts the lines that a process did not live to
    write, `damaged` those that were whole and are not what was written.
    """

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    images: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: list[dict[str, Any]] = field(default_factory=list)
    needs: dict[tuple[str, str], dict[str, Any] | None] = field(default_factory=dict)
    images_gone: set[str] = field(default_factory=set)
    seen: int = 0
    cut_off: int = 0
    damaged: int = 0

    @property
    def pictures(self) -> list[dict[str, Any]]:
        """Return all pictures that were told, stored or not."""
        made = [image for result in self.results.values() for image in result["images"]]
        return [*self.images.values(), *made]

    def _take(self, record: Mapping[str, Any]) -> None:
        if found := record.get("job"):
            self.jobs.setdefault(found["id"], {}).update(found)
        elif found := record.get("batch"):
            self.batches[found["id"]] = found
        elif found := record.get("image"):
            self.images[found["attempt"], found.get("index", 0)] = found
        elif found := record.get("result"):
            self.results[found["attempt"]] = found
        elif found := record.get("key"):
            self.keys.append(found)
        elif found := record.get("need"):
            self.needs[found["job_id"], found["parent_id"]] = found
        elif found := record.get("need_gone"):
            self.needs[found["job_id"], found["parent_id"]] = None
        elif found := record.get("images_gone"):
            self.images_gone.update(found)


def seen() -> int:
    """Return the newest event id that the journal tells; 0 without any.

    Of all files: by a clock that was put back, the newest line is not in the file of the last hour.
    """
    return max((_seen_in(path) for path in files()), default=0)


def _seen_in(path: Path) -> int:
    """Return the newest event id that the end of a file tells."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL))
        records = filter(None, map(_parsed, stream))
        newest = max((_event_of(record) for record in records), default=0)
        if newest:
            return newest
        stream.seek(0)  # its last lines are longer than that, or damaged
        records = filter(None, map(_parsed, stream))
        return max((_event_of(record) for record in records), default=0)


def _event_of(record: Mapping[str, Any]) -> int:
    return int(record.get("event", 0))


def read(after: int = -1) -> Told:
    """Return what the journal tells, in the order of the commits.

    `after`: leave out what a database has that knows the events up to this one. Lines that were
    cut off or damaged are counted and left out.
    """
    told = Told()
    records = []
    for path in files():
        for line in _lines(path):
            record = _parsed(line)
            if record is not None:
                records.append(record)
            elif line.rstrip().endswith(b"}"):
                told.damaged += 1
            else:
                told.cut_off += 1
    # Several processes append, and not in the order of their commits.
    for record in sorted(records, key=_event_of):
        told.seen = max(told.seen, _event_of(record))
        if _is_new(record, after):
            told._take(record)
    return told


def _is_new(record: Mapping[str, Any], after: int) -> bool:
    """Tell whether a database that knows the events up to `after` may lack this."""
    if "result" in record:  # told before its commit: the job's state says whether there was one
        return True
    if "job" in record:  # told with an event of its own
        return _event_of(record) > after
    # Its transaction may have had later events than it knew.
    return _event_of(record) >= after


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
