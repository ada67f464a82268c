"""One SQLite library per process: the newest one that is installed.

Two libraries in one process drop each other's POSIX locks and lose committed rows (design §2),
so the choice is made once, before anything can import `sqlite3`, and nobody else imports either.
"""

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

__all__ = ["FIXED_VERSION", "install", "library", "mixed", "version", "write_turn"]

# SQLite 3.7.0 to 3.51.2 can corrupt a WAL database in a checkpoint race; fixed in 3.51.3.
FIXED_VERSION = (3, 51, 3)


def install() -> None:
    """Put pysqlite3 in the place of `sqlite3`, where it is installed and not too late."""
    if "sqlite3" in sys.modules:
        return
    try:
        replacement = importlib.import_module("pysqlite3")
    except ImportError:
        return
    sys.modules["sqlite3"] = replacement
    sys.modules["sqlite3.dbapi2"] = importlib.import_module("pysqlite3.dbapi2")


def library() -> ModuleType:
    """Return the module that this process uses as `sqlite3`."""
    return importlib.import_module("sqlite3")


def version() -> tuple[int, int, int]:
    """Return the version of the SQLite library in use."""
    major, minor, patch = library().sqlite_version_info
    return major, minor, patch


def mixed() -> bool:
    """Tell whether two SQLite libraries are loaded in this process."""
    return "_sqlite3" in sys.modules and "pysqlite3._sqlite3" in sys.modules


_turn = threading.Lock()


@contextmanager
def write_turn(patience: float = 20) -> Iterator[None]:
    """Let the threads of this process write one after the other: put it around `atomic()`.

    SQLite has one writer anyway, but lets the others sleep in growing steps and look again:
    with eight submitting threads the slowest waited a second. Raises OperationalError ("locked")
    like SQLite when the turn does not come. Does nothing where rows have locks of their own, and
    inside a transaction, whose lock is already held.
    """
    from django.db import OperationalError, connection  # Django must not be loaded before install()

    if connection.vendor != "sqlite" or connection.in_atomic_block:
        yield
        return
    if not _turn.acquire(timeout=patience):
        raise OperationalError("database is locked: too many writers of this process")
    try:
        yield
    finally:
        _turn.release()
