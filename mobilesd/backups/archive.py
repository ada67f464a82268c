"""Everything in one file: database, secret key, pictures and inputs; written, and read again."""

import contextlib
import hashlib
import io
import json
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from django.conf import settings

from mobilesd import VERSION, sqlite
from mobilesd.backups import dumps, snapshots
from mobilesd.backups.replacement import DATABASE, SECRET

__all__ = ["DUMP", "STORES", "Contents", "NotAnArchive", "inspect", "write"]

_FORMAT = 1
_MANIFEST = "mobilesd-backup.json"
DUMP = "database.dump"
STORES = ("images", "inputs")
# The only members there are: nothing in an archive can name a place outside of the data folder.
_FILE = re.compile(rf"({'|'.join(STORES)})/([0-9a-f]{{2}})/(\2[0-9a-f]{{62}})")
_PLAIN = {_MANIFEST, DATABASE, DUMP, SECRET}
_CHUNK = 1024 * 1024


class NotAnArchive(Exception):
    """The file is no backup of MobileSD, or it is damaged; says why."""


@dataclass
class Contents:
    """What an archive holds."""

    made_at: str = ""
    version: str = ""
    database: str = ""
    jobs: int = 0
    pictures: int = 0
    has_secret: bool = False
    files: dict[str, int] = field(default_factory=dict)
    bytes: int = 0


# --- Writing ------------------------------------------------------------------------------


def write(target: Path) -> Contents:
    """Write an archive of everything, whole and on disk, or none.

    The database comes first: a picture that is made meanwhile may be in it without a row, never a
    row without its picture. Raises OSError, FileExistsError for a file that is there, and
    SubprocessError when pg_dump fails.
    """
    if target.exists():
        raise FileExistsError(0, "there is such a file already", str(target))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with (
            os.fdopen(descriptor, "wb") as stream,
            tempfile.TemporaryDirectory(dir=target.parent, prefix=".mobilesd-") as work,
        ):
            with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
                _add_all(archive, Path(work))
            stream.flush()
            os.fsync(stream.fileno())
        contents = inspect(temporary)
        temporary.rename(target)  # no link: a stick's file system may have none
        snapshots.sync(target.parent)
        return contents
    finally:
        temporary.unlink(missing_ok=True)


def _add_all(archive: tarfile.TarFile, work: Path) -> None:
    if settings.EMBEDDED:
        database = work / DATABASE
        snapshots.copy_database(snapshots.database_file(), database)
        wrong = snapshots.check(database, whole=True)
        if wrong:
            raise OSError(0, f"the database is not whole: {wrong}")
        jobs, pictures = _counted(database)
    else:
        database, jobs, pictures = work / DUMP, 0, 0
        dumps.dump_to(database)
    manifest = {
        "format": _FORMAT,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": VERSION,
        "jobs": jobs,
        "pictures": pictures,
        "database": database.name,
        "sha256": _sha256(database),
    }
    text = json.dumps(manifest, indent=1).encode()
    info = tarfile.TarInfo(_MANIFEST)
    info.size, info.mode = len(text), 0o600
    archive.addfile(info, io.BytesIO(text))
    archive.add(database, database.name)
    secret = Path(settings.DATA_DIR) / SECRET
    if secret.exists():
        archive.add(secret, SECRET)
    for store in STORES:
        for path in sorted((Path(settings.DATA_DIR) / store).glob("??/" + "?" * 64)):
            with contextlib.suppress(FileNotFoundError):  # collected meanwhile: no row has it
                archive.add(path, f"{store}/{path.parent.name}/{path.name}")


def _counted(database: Path) -> tuple[int, int]:
    with contextlib.closing(sqlite.library().connect(database)) as connection:
        jobs = connection.execute("SELECT count(*) FROM jobs_job").fetchone()[0]
        pictures = connection.execute("SELECT count(*) FROM gallery_image").fetchone()[0]
    return int(jobs), int(pictures)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# --- Reading ------------------------------------------------------------------------------


def _members(file: Path) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    try:
        with tarfile.open(file, mode="r|") as archive:
            for member in archive:
                known = member.name in _PLAIN or _FILE.fullmatch(member.name)
                if not known or not member.isfile():
                    raise NotAnArchive(f"It holds {member.name[:80]!r}, which no backup has.")
                stream = archive.extractfile(member)
                assert stream is not None
                yield member, stream
    except (tarfile.TarError, EOFError) as error:
        raise NotAnArchive(f"It can't be read to its end: {error}.") from error


def inspect(file: Path, into: Path | None = None) -> Contents:
    """Read an archive to its end and check every byte of it; with `into`, unpack it there.

    Raises NotAnArchive, and OSError.
    """
    contents = Contents()
    expected = ""
    for member, stream in _members(file):
        contents.bytes += member.size
        target = into / member.name if into is not None else None
        if member.name == _MANIFEST:
            expected = _read_manifest(stream, contents)
            continue
        if not contents.made_at:
            raise NotAnArchive("It does not begin with the list of a MobileSD backup.")
        digest = _copied(stream, target)
        if member.name in (DATABASE, DUMP):
            if digest != expected:
                raise NotAnArchive("Its database is damaged.")
            contents.database = member.name
        elif member.name == SECRET:
            contents.has_secret = True
        else:
            store, _, name = member.name.split("/")
            if digest != name:
                raise NotAnArchive(f"The file {member.name} in it is damaged.")
            contents.files[store] = contents.files.get(store, 0) + 1
    if not contents.database:
        raise NotAnArchive("It has no database.")
    return contents


def _read_manifest(stream: IO[bytes], contents: Contents) -> str:
    try:
        found = json.loads(stream.read(_CHUNK))
        if found["format"] > _FORMAT:
            raise NotAnArchive(f"It was made by MobileSD {found['version']}: install that first.")
        contents.made_at, contents.version = str(found["made_at"]), str(found["version"])
        contents.jobs, contents.pictures = int(found["jobs"]), int(found["pictures"])
        return str(found["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise NotAnArchive("Its list can't be read.") from error


def _copied(stream: IO[bytes], target: Path | None) -> str:
    """Return the SHA-256 of what is read; write it to the target, if there is one."""
    digest = hashlib.sha256()
    with contextlib.ExitStack() as stack:
        writing = None
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            writing = stack.enter_context(target.open("xb"))
            target.chmod(0o600)
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            if writing is not None:
                writing.write(chunk)
        if writing is not None:
            writing.flush()
            os.fsync(writing.fileno())
    return digest.hexdigest()
