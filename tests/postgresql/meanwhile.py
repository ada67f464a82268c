"""Another session that does something at a chosen moment of this one, until it has to wait.

    with meanwhile() as other:
        after(monkeypatch, transitions, "cancel_pending", lambda: other.begin(store_a_picture))
        cancel_batch(…)
    assert other.result() …

Only PostgreSQL lets two sessions be in the middle of a transaction at once.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, connections

__all__ = ["Other", "after", "before", "meanwhile"]


class Other:
    """One thread with a connection of its own."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._session: int | None = None
        self._result: Any = None
        self._error: BaseException | None = None

    def begin(self, act: Callable[[], Any]) -> None:
        """Start it, once; return when it is done, or waits for a lock that somebody holds."""
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._run, args=(act,))
        self._thread.start()
        end = time.monotonic() + 20
        while self._thread.is_alive() and not self._waits():
            assert time.monotonic() < end, "the other session neither ends nor waits"
            time.sleep(0.005)

    def result(self) -> Any:
        """Wait for its end; return what it returned, raise what it raised."""
        assert self._thread is not None, "it never began"
        self._thread.join(20)
        assert not self._thread.is_alive(), "the other session did not end"
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self, act: Callable[[], Any]) -> None:
        try:
            connection.ensure_connection()
            self._session = connection.connection.info.backend_pid
            self._result = act()
        except BaseException as error:
            self._error = error
        finally:
            connections.close_all()

    def _waits(self) -> bool:
        if self._session is None:
            return False
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted)",
                [self._session],
            )
            found: bool = cursor.fetchone()[0]
        return found


@contextmanager
def meanwhile() -> Iterator[Other]:
    """Return the other session; it has ended when the block is left."""
    other = Other()
    try:
        yield other
    finally:
        if other._thread is not None:
            other._thread.join(20)


def after(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, then: Callable[[], None]) -> None:
    """Do something right after each call of a function."""
    plain = getattr(where, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        found = plain(*args, **kwargs)
        then()
        return found

    monkeypatch.setattr(where, name, wrapped)


def before(
    monkeypatch: pytest.MonkeyPatch, where: Any, name: str, first: Callable[[], None]
) -> None:
    """Do something right before each call of a function."""
    plain = getattr(where, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        first()
        return plain(*args, **kwargs)

    monkeypatch.setattr(where, name, wrapped)
