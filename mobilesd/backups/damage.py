"""A database that is damaged is noticed by whoever reads it, and left alone by all at once.

SQLite says "malformed" to the process that meets the bad page. That one leaves a note for `up`
and ends; `up` ends the others, and its next start looks at the database before anybody uses it.
A file that was deleted nobody meets: whoever has it open goes on in what is gone. `up` looks.
"""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from django.conf import settings
from django.db.backends.signals import connection_created
from django.db.utils import DatabaseErrorWrapper

__all__ = ["EXIT_CODE", "FileWatch", "InUse", "alone", "note", "note_file", "noted", "watch"]

log = logging.getLogger(__name__)

# Of a process that met the damage; no shell and no signal gives this one.
EXIT_CODE = 86
_WORDS = ("malformed", "file is not a database")


def note_file() -> Path:
    """Return the note that somebody has met the damage."""
    return Path(settings.DATA_DIR) / "database-damaged"


def noted() -> bool:
    """Tell whether somebody has met damage since the database was last looked at."""
    return note_file().exists()


def note(what: str) -> None:
    """Leave the note; `up` acts on it within a second."""
    log.critical("the database is damaged: %s", what)
    with contextlib.suppress(OSError):
        note_file().write_text(f"{what}\n", encoding="utf-8")


class _Watcher(DatabaseErrorWrapper):
    """What Django puts around each use of a connection, with an eye for damage."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            return  # each statement comes by here, and nearly all go well
        if isinstance(error, UnicodeDecodeError) or any(word in str(error) for word in _WORDS):
            _met(str(error))
        super().__exit__(kind, error, traceback)


def _met(words: str) -> None:
    note(words)
    if settings.BOOT_ID:  # a child of `up`: it must not write into such a file any more
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(EXIT_CODE)


def watch() -> None:
    """Watch all connections of this process from now on, and hold the database as in use."""
    connection_created.connect(_on_connection, dispatch_uid="mobilesd.backups.damage")


def _on_connection(connection: Any, **_: object) -> None:
    if connection.vendor != "sqlite":
        return
    connection.wrap_database_errors = _Watcher(connection)
    _use.hold()


class FileWatch:
    """Looks whether the database's file is still the one that the processes have open."""

    def __init__(self) -> None:
        self._known: os.stat_result | None = None

    def look(self) -> None:
        """Note it if the file is gone, or another one has its name."""
        if not settings.EMBEDDED:
            return
        try:
            found = Path(str(settings.DATABASES["default"]["NAME"])).stat()
        except FileNotFoundError:
            note("the file is missing")
            return
        except OSError:  # a disk that does not answer for a moment
            return
        if self._known is None:
            self._known = found
        elif not os.path.samestat(self._known, found):
            note("another file has taken its place")


# --- Who uses it --------------------------------------------------------------------------


class InUse(Exception):
    """Another process has the database open."""


class _Use:
    """A lock that each process shares while it may have the database open, held by the system."""

    def __init__(self) -> None:
        self._stream: IO[bytes] | None = None
        self.alone = False

    def hold(self) -> None:
        if self._stream is not None or self.alone or os.name == "nt":
            return
        import fcntl

        with contextlib.suppress(OSError):  # a disk that is full keeps nobody from reading
            stream = _lock_file().open("ab")
            fcntl.flock(stream, fcntl.LOCK_SH)
            self._stream = stream

    def take(self) -> IO[bytes] | None:
        if os.name == "nt":  # the locks of `up` are all there is
            return None
        import fcntl

        _lock_file().parent.mkdir(parents=True, exist_ok=True)
        stream = _lock_file().open("ab")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.close()
            raise InUse from None
        return stream

    def let_go(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


_use = _Use()


def _lock_file() -> Path:
    return Path(settings.DATA_DIR) / "database.lock"


@contextlib.contextmanager
def alone(patience: float = 0) -> Iterator[None]:
    """Keep all other processes off the database; this one must have no connection to it.

    Raises InUse when another process still has it open after so many seconds.
    """
    _use.let_go()
    give_up = time.monotonic() + patience
    while True:
        try:
            stream = _use.take()
            break
        except InUse:
            if time.monotonic() >= give_up:
                raise
            time.sleep(0.1)
    _use.alone = True
    try:
        yield
    finally:
        _use.alone = False
        if stream is not None:
            stream.close()
