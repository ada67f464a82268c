"""A new database takes the place of the old one: a crash leaves one or the other, never neither.

What comes in lies whole and on disk in a folder beside, which then gets the name `replacing`. From
that moment on it counts: each step after it may be done twice, and the next start finishes what a
crash cut off. Nothing of the old one is deleted; it goes to `set-aside/`.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from mobilesd.backups import damage, snapshots

__all__ = [
    "BACKUPS",
    "DATABASE",
    "REPORT",
    "SECRET",
    "Plan",
    "begun",
    "commit",
    "database_files",
    "finish",
    "new_aside",
    "work_folder",
]

# What the folder may hold, and what takes the place of what.
DATABASE = "database.sqlite3"
SECRET = "secret_key"
BACKUPS = "backups"
REPORT = "report.json"
_PLAN = "plan.json"
_PREFIX = ".replacement-"


@dataclass(frozen=True)
class Plan:
    """What is being done: `what` in words, and where the old files go.

    `old_life`: names in the data folder that tell of the old database, and must not complete the
    new one.
    """

    what: str
    set_aside: str
    old_life: Sequence[str] = ()
    new_key: bool = False


def database_files(file: Path) -> list[Path]:
    """Return a SQLite database with what belongs to it."""
    return [file, *(file.with_name(file.name + end) for end in ("-wal", "-shm", "-journal"))]


def begun() -> Plan | None:
    """Return what was begun and is not finished, or None."""
    try:
        return Plan(**json.loads((_folder() / _PLAN).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def work_folder() -> Iterator[Path]:
    """Yield a folder beside the data to prepare everything in; it goes away unless committed.

    Call it with the database to ourselves: what others left there is removed.
    """
    data = Path(settings.DATA_DIR)
    data.mkdir(parents=True, exist_ok=True)
    for left in data.glob(f"{_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=data, prefix=_PREFIX))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_aside() -> Path:
    """Make a folder for what is set aside, never to be deleted by us."""
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    folder = Path(settings.DATA_DIR) / "set-aside" / stamp
    number = 0
    while folder.exists():
        number += 1
        folder = folder.with_name(f"{stamp}-{number}")
    folder.mkdir(parents=True)
    return folder


def commit(work: Path, what: str, aside: Path, *, old_life: Sequence[str] = ()) -> None:
    """Let what lies in the work folder count, from now on and whatever happens; then `finish`."""
    plan = Plan(what, str(aside), list(old_life), new_key=(work / SECRET).exists())
    (work / _PLAN).write_text(json.dumps(asdict(plan)), encoding="utf-8")
    for path in sorted(work.rglob("*")):
        _sync_content(path)
    snapshots.sync(work)
    work.rename(_folder())
    snapshots.sync(_folder().parent)


def finish() -> Plan:
    """Do what is left to do; call it with the database to ourselves. Raises OSError."""
    plan = begun()
    assert plan is not None
    folder, data, aside = _folder(), Path(settings.DATA_DIR), Path(plan.set_aside)
    aside.mkdir(parents=True, exist_ok=True)
    if (folder / DATABASE).exists():
        file = snapshots.database_file()
        # The log of the old one would be taken for the new one's: it goes first.
        for path in [*(data / name for name in plan.old_life), *reversed(database_files(file))]:
            _move(path, aside)
        snapshots.sync(aside)
        (folder / DATABASE).replace(file)
        snapshots.sync(file.parent)
    if (folder / BACKUPS).exists():
        _move(data / BACKUPS, aside)
        (folder / BACKUPS).rename(data / BACKUPS)
    if (folder / SECRET).exists():
        _keep_copy(data / SECRET, aside)
        # In one step: a start that finds no key makes a new one.
        (folder / SECRET).replace(data / SECRET)
    if (folder / REPORT).exists():
        reports = data / "recoveries"
        reports.mkdir(parents=True, exist_ok=True)
        (folder / REPORT).replace(reports / f"{aside.name}.json")
        snapshots.sync(reports)
    snapshots.sync(data)
    damage.note_file().unlink(missing_ok=True)
    done = folder.with_name(f"{_PREFIX}done-{os.getpid()}")
    folder.rename(done)
    shutil.rmtree(done, ignore_errors=True)
    return plan


def _folder() -> Path:
    return Path(settings.DATA_DIR) / "replacing"


def _move(path: Path, aside: Path) -> None:
    if not path.exists():
        return
    target, number = aside / path.name, 0
    while target.exists():
        number += 1
        target = aside / f"{path.name}-{number}"
    path.rename(target)


def _keep_copy(path: Path, aside: Path) -> None:
    target = aside / path.name
    if path.exists() and not target.exists():
        part = target.with_name(f".{target.name}")
        shutil.copy2(path, part)
        _sync_content(part)
        part.replace(target)


def _sync_content(path: Path) -> None:
    if path.is_dir():
        snapshots.sync(path)
        return
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
