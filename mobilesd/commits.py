"""Several threads' small writes in one transaction, so that they share its fsync.

A commit that survives a power cut waits for the disk, and SQLite has one writer at a time: eight
threads that each commit their own job wait for each other's disk. Here the first one that comes
writes for all that come while it waits.
"""

import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from itertools import groupby
from typing import Any, Generic, TypeVar

from django.db import OperationalError, connection, transaction
from structlog.contextvars import clear_contextvars

from mobilesd.http.request_ids import forget_request
from mobilesd.sqlite import write_turn

__all__ = ["commit_together"]

MOST = 32  # in one transaction: nobody should wait long for the others' statements

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Work = Callable[[Sequence[_Item]], Sequence[_Result]]


class _Write(Generic[_Item, _Result]):
    """What one thread wants written, and what became of it."""

    def __init__(self, work: _Work[_Item, _Result], item: _Item) -> None:
        self.work = work
        self.item = item
        self.outcome: _Result | None = None
        self.error: BaseException | None = None
        self.told = threading.Event()
        self.done = False

    def run_alone(self) -> None:
        try:
            with transaction.atomic():
                _run([self])
        except BaseException as error:
            self.error = error

    def result(self) -> _Result:
        if self.error is not None:
            raise self.error
        return self.outcome  # type: ignore[return-value]  # it ran


_mutex = threading.Lock()
_queue: list[_Write[Any, Any]] = []  # its first one writes for all


def commit_together(work: _Work[_Item, _Result], item: _Item) -> _Result:
    """Run `work` for this item in a transaction, and return its result after the commit.

    `work` takes the items of all that come with the same `work` meanwhile, and returns a result
    for each. It may run in another thread, and a second time after all that it did was rolled
    back: it must do nothing but use the database's default connection, and what it leaves to do
    after the commit must be `robust`. It knows of no request, since it may be for several.
    If it raises anything, it is run again for each item alone: what it raises then, only the
    thread with that item raises, and its own writes are undone, not the others'.
    Where rows have locks of their own, and inside a transaction, it simply runs.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        with transaction.atomic():
            return work([item])[0]
    write = _Write(work, item)
    with _mutex:
        _queue.append(write)
        leads = _queue[0] is write
    if not leads:
        write.told.wait()
    if not write.done:
        _lead()
    return write.result()


def _lead() -> None:
    """Write for all that wait by the time that it is our turn; then let the next one lead."""
    writes: list[_Write[Any, Any]] = _queue[:1]
    try:
        with write_turn():
            with _mutex:
                writes = _queue[:MOST]
            _commit(writes)
    except BaseException as error:  # also when the turn did not come
        for write in writes:
            write.error = write.error or error
    finally:
        with _mutex:
            del _queue[: len(writes)]
            following = _queue[:1]
        for write in writes:
            write.done = True
            write.told.set()
        for write in following:
            write.told.set()


def _commit(writes: list[_Write[Any, Any]]) -> None:
    if len(writes) > 1:
        try:
            with transaction.atomic():
                _run(writes)
        except OperationalError:
            raise  # locked, or the disk is full: each alone would wait as long, for the same
        except Exception:
            pass  # one of them can't be written: which one, each tells by itself
        else:
            return
    for write in writes:
        write.run_alone()


def _run(writes: Sequence[_Write[Any, Any]]) -> None:
    for work, some in groupby(writes, lambda write: write.work):
        alike = list(some)
        outcomes = copy_context().run(_of_no_request, work, [write.item for write in alike])
        for write, outcome in zip(alike, outcomes, strict=True):
            write.outcome = outcome


def _of_no_request(work: _Work[_Item, _Result], items: Sequence[_Item]) -> Sequence[_Result]:
    # Not an empty context: in a thread with an event loop Django keeps its connection in there.
    clear_contextvars()
    forget_request()
    return work(items)
