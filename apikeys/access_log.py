"""The access log: noted in memory, written by one thread, once a second.

No request waits for it. A crash (kill -9, a power cut) loses what was noted in the last second,
and what a locked database kept from being written; an orderly stop loses nothing. What does not
fit into memory any more is not kept, and how much that was is in the program's own log.
"""

import atexit
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from apikeys.models import Access, ApiKey, KeyDay
from mobilesd.rows import Rows
from mobilesd.sqlite import write_turn

__all__ = ["KEY_DAYS", "AccessLog", "Line", "access_log", "prune"]

logger = logging.getLogger(__name__)

CAPACITY = 20_000  # about 15 MB, and a minute of a busy installation
BATCH = 500  # a commit stays short, so that no lane waits long for the write lock (design §6)
EVERY_SECONDS = 1.0
BACK_OFF_SECONDS = (1.0, 2.0, 5.0, 10.0)
REPORT_SECONDS = 60.0
STOP_SECONDS = 2.0  # `up` ends whatever has not stopped after four
KEY_DAYS = 400
_PRUNE_BATCH = 500
_PRUNE_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Line:
    """One request as the log keeps it. `known`: the prefix is that of a key that proved itself.

    Lines with the same `fold` become one line if they are written together; "" for none.
    """

    at: datetime
    key_prefix: str
    known: bool
    method: str
    route: str
    status: int
    error: str
    milliseconds: float
    bytes: int
    address: str | None
    user_agent: str
    source_info: str
    request_id: str
    fold: str = ""
    times: int = 1


class AccessLog:
    """Holds lines until its thread, started with the first one, has written them.

    Without `settings.ACCESS_LOG_WRITER` there is no thread: `flush` writes, in its own.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._lines: deque[Line] = deque()
        self._lost = 0
        self._reported_at = -REPORT_SECONDS
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None

    def note(self, line: Line) -> None:
        """Keep a line for the writer; never waits, never fails."""
        if len(self._lines) >= self._capacity:
            self._lost += line.times
            return
        self._lines.append(line)
        if not self._wanted.is_set() and settings.ACCESS_LOG_WRITER:
            self._start()
            self._wanted.set()

    def flush(self) -> None:
        """Write all lines now; raise OperationalError if the database is locked, and keep them."""
        with self._writing:
            while self._lines:
                batch = [self._lines.popleft() for _ in range(min(BATCH, len(self._lines)))]
                try:
                    _write(_folded(batch))
                except (OperationalError, InterfaceError):
                    self._lines.extendleft(reversed(batch))
                    raise
                except Exception:
                    # Not a matter of time: to try again would keep all later lines waiting.
                    logger.exception("%d lines of the access log can't be stored", len(batch))

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Let the thread write what there is, and end; wait for that so many seconds at most."""
        thread = self._thread
        self._stopping.set()
        self._wanted.set()
        if thread is not None:
            thread.join(seconds)
        if self._lines:
            logger.warning("%d lines of the access log were not written", len(self._lines))

    def discard(self) -> None:
        """Forget all lines; for tests."""
        self._lines.clear()
        self._lost = 0

    def __len__(self) -> int:
        return len(self._lines)

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None and self._thread.is_alive():
                return
            if self._thread is None:
                atexit.register(self.stop)
            self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._wanted.wait()
            pause = BACK_OFF_SECONDS[min(failures - 1, 3)] if failures else EVERY_SECONDS
            self._stopping.wait(pause)  # what comes meanwhile is written together
            self._wanted.clear()  # before the lines are taken: what comes now sets it again
            connection.close_if_unusable_or_obsolete()  # else a lost server is lost for good
            failures = 0 if self._round() else failures + 1
            if failures:
                self._wanted.set()
        connection.close()

    def _round(self) -> bool:
        try:
            self.flush()
        except (OperationalError, InterfaceError) as error:
            logger.warning("the access log waits for the database: %s", error)
            return False
        finally:
            self._report_lost()
        return True

    def _report_lost(self) -> None:
        now = time.monotonic()
        if self._lost and now - self._reported_at >= REPORT_SECONDS:
            lost, self._lost, self._reported_at = self._lost, 0, now
            logger.warning("the access log was full: %d lines are not in it", lost)


def _folded(lines: Sequence[Line]) -> list[Line]:
    """Make one line of those that a flood of refusals consists of.

    Else whoever sends nonsense quickly enough could fill the disk with the log of it.
    """
    found: list[Line] = []
    places: dict[str, int] = {}
    for line in lines:
        if line.fold and line.fold in places:
            before = found[places[line.fold]]
            found[places[line.fold]] = replace(line, times=before.times + line.times)
            continue
        if line.fold:
            places[line.fold] = len(found)
        found.append(line)
    return found


def _write(lines: Sequence[Line]) -> None:
    rows = [
        Access(
            at=line.at,
            key_prefix=line.key_prefix,
            method=line.method,
            route=line.route,
            status=line.status,
            error=line.error,
            milliseconds=line.milliseconds,
            bytes=line.bytes,
            address=line.address,
            user_agent=line.user_agent,
            source_info=line.source_info,
            request_id=line.request_id,
            times=line.times,
        )
        for line in lines
    ]
    made = Rows(rows)
    with write_turn(), transaction.atomic():
        made.insert()
        _add_to_days(lines)


def _add_to_days(lines: Sequence[Line]) -> None:
    requests: Counter[tuple[str, date]] = Counter()
    errors: Counter[tuple[str, date]] = Counter()
    sent: Counter[tuple[str, date]] = Counter()
    for line in lines:
        if line.known:
            place = line.key_prefix, line.at.date()
            requests[place] += line.times
            errors[place] += line.times * (line.status >= 400)
            sent[place] += line.bytes
    # Locked (where rows can be): a key that is deleted now would take the whole batch with it.
    keys = ApiKey.objects.filter(prefix__in={prefix for prefix, _ in requests})
    alive = set(keys.select_for_update(no_key=True).values_list("prefix", flat=True))
    days = sorted(place for place in requests if place[0] in alive)  # one order for all writers
    KeyDay.objects.bulk_create(
        [KeyDay(key_id=prefix, day=day) for prefix, day in days], ignore_conflicts=True
    )
    for place in days:
        KeyDay.objects.filter(key_id=place[0], day=place[1]).update(
            requests=F("requests") + requests[place],
            errors=F("errors") + errors[place],
            bytes=F("bytes") + sent[place],
        )


def prune() -> int:
    """Delete the lines older than `settings.ACCESS_LOG_DAYS`, and sums older than 400 days.

    Returns how many lines. Works in short transactions with pauses, so that no lane waits long for
    the write lock.
    """
    now = timezone.now()
    old = Access.objects.filter(at__lt=now - timedelta(days=settings.ACCESS_LOG_DAYS))
    total = 0
    while ids := list(old.order_by("at").values_list("pk", flat=True)[:_PRUNE_BATCH]):
        with write_turn():
            total += Access.objects.filter(pk__in=ids).delete()[0]
        time.sleep(_PRUNE_PAUSE_SECONDS)
    KeyDay.objects.filter(day__lt=(now - timedelta(days=KEY_DAYS)).date()).delete()
    return total


access_log = AccessLog()
