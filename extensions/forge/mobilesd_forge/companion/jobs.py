"""The attempts: taken once each, run one after the other, kept until somebody has fetched them."""

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mobilesd_forge.companion.engine import Engine, Look, Outcome
from mobilesd_forge.companion.records import FINAL, Record, Records, Stored

__all__ = ["Jobs", "Limits", "NotTaken"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """How long and how much is kept, and how many may wait.

    Answers are kept until they are fetched, but not longer than `keep_seconds`, and the oldest
    ones only as long as all together have `keep_bytes`. A token is remembered for `closed_seconds`.
    """

    keep_seconds: float = 24 * 3600
    keep_bytes: int = 2 * 1024**3
    closed_seconds: float = 7 * 24 * 3600
    records: int = 5000
    waiting: int = 100


class NotTaken(Exception):
    """A job is refused: with a status, a code and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Jobs:
    """All attempts of this engine.

    What waits or runs when the program dies is lost, and is said to be: whoever sent it decides
    whether it is made again, under a new token.
    """

    def __init__(
        self,
        engine: Engine,
        records: Records,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._disk = records
        self._limits = limits or Limits()
        self._clock = clock
        self._changed = threading.Condition()
        self._records: dict[str, Record] = {}
        self._payloads: dict[str, Mapping[str, Any]] = {}
        self._waiting: deque[str] = deque()
        # Answers that could not be written to a full disk: better here than nowhere.
        self._unwritten: dict[str, bytes] = {}
        self._stopping = False

    def start(self) -> None:
        """Read what is on disk, and begin to work."""
        for record in self._disk.load():
            if record.state not in FINAL:
                record = replace(record, state="lost", ended_at=self._clock())
                self._write(record)
            self._records[record.token] = record
        self._tidy()
        threading.Thread(target=self._feed, name="mobilesd-companion", daemon=True).start()

    def stop(self) -> None:
        """Begin nothing more and write nothing more, as if the program had died now."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    # --- what is asked ----------------------------------------------------------------------

    def submit(self, token: str, kind: str, payload: Mapping[str, Any]) -> tuple[Record, bool]:
        """Take a job, on disk before this returns; return it, and whether it is new.

        The same token again is the same job, whatever became of it. Raises NotTaken.
        """
        with self._changed:
            known = self._records.get(token)
            if known is not None and known.state == "closed":
                raise NotTaken(409, "closed", "This attempt was given up before. Use a new token.")
            if known is not None:
                return known, False
            if len(self._waiting) >= self._limits.waiting:
                raise NotTaken(503, "too_many", "Too many jobs wait here already.")
            record = Record(token, kind, created_at=self._clock())
            try:
                self._disk.save(record)
            except OSError as error:
                raise NotTaken(
                    507, "disk", f"The job could not be written down: {error.strerror}."
                ) from error
            self._records[token] = record
            self._payloads[token] = payload
            self._waiting.append(token)
            self._changed.notify_all()
            return record, True

    def get(self, token: str) -> Record | None:
        """Return an attempt, None if it was never here or is closed."""
        with self._changed:
            record = self._records.get(token)
        return None if record is None or record.state == "closed" else record

    def look(self, record: Record, *, preview: bool = False) -> Look | None:
        """Return how far an attempt is that runs."""
        return self._engine.look(record.token, preview=preview)

    def place(self, token: str) -> int:
        """Return how many others wait here before it."""
        with self._changed:
            return self._waiting.index(token) if token in self._waiting else 0

    def wait(self, token: str, state: str, seconds: float) -> None:
        """Wait until an attempt is in another state than this one, at most so long."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopping or self._state(token) != state, timeout=seconds
            )

    def answer(self, token: str) -> bytes | Stored | None:
        """Return the program's own answer to a finished attempt."""
        record = self.get(token)
        if record is None or record.state not in ("done", "failed"):
            return None
        return self._unwritten.get(token) or self._disk.answer(token)

    def cancel(self, token: str) -> Record | None:
        """End an attempt: it never begins, or stops at its next step; an answer is dropped.

        None if it is not here.
        """
        with self._changed:
            record = self._records.get(token)
            if record is None or record.state == "closed":
                return None
            if record.state == "running":
                record = self._records[token] = replace(record, cancelling=True)
                self._changed.notify_all()
                return record
            if record.state in ("queued", "done", "failed"):
                return self._end(replace(record, state="cancelled", bytes=0))
            return record

    def close(self, token: str) -> None:
        """Forget an attempt that nobody will ask for: what is left of it is cancelled.

        Also of one that never came: it will not be taken if it comes late.
        """
        with self._changed:
            record = self._records.get(token) or Record(token, created_at=self._clock())
            if record.state == "running":
                self._records[token] = replace(record, cancelling=True, closing=True)
            elif record.state != "closed":
                self._end(replace(record, state="closed", bytes=0))

    # --- what is done -----------------------------------------------------------------------

    def _state(self, token: str) -> str:
        record = self._records.get(token)
        return record.state if record else ""

    def _feed(self) -> None:
        """Begin one after the other, each as soon as the one before needs the GPU no more."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._waiting)
                if self._stopping:
                    return
                token = self._waiting.popleft()
                payload = self._payloads.pop(token)
                begun = replace(self._records[token], state="running", began_at=self._clock())
                # Not written down: after a crash it is lost, whether it ran or not.
                self._records[token] = begun
                self._changed.notify_all()
            released = threading.Event()
            threading.Thread(
                target=self._run, args=(begun, payload, released), name=token, daemon=True
            ).start()
            released.wait()

    def _run(self, begun: Record, payload: Mapping[str, Any], released: threading.Event) -> None:
        try:
            outcome = self._engine.run(
                begun.kind,
                payload,
                begun.token,
                lambda: self._is_cancelled(begun.token),
                released.set,
            )
        except BaseException as error:  # a program's own classes too: else it would run for ever
            log.exception("attempt %s", begun.token)
            told = {"error": type(error).__name__, "detail": "", "message": str(error)}
            outcome = Outcome(500, json.dumps(told).encode())
        finally:
            released.set()
        with self._changed:
            if self._stopping:
                return
        # Written outside of the lock: large answers take a while, and others ask meanwhile.
        ended = replace(
            begun,
            state="done" if outcome.status == 200 else "failed",
            ended_at=self._clock(),
            status=outcome.status,
            interrupted=outcome.interrupted,
            bytes=len(outcome.body),
        )
        self._write(ended, outcome.body)
        with self._changed:
            record = self._records[begun.token]
            if record.cancelling:
                # A picture that was finished all the same is not wanted any more.
                self._end(replace(record, state=_end_of_cancelled(record)))
            else:
                self._records[begun.token] = ended
                self._changed.notify_all()
        self._tidy()

    def _is_cancelled(self, token: str) -> bool:
        record = self._records.get(token)
        return record is not None and record.cancelling

    def _end(self, record: Record) -> Record:
        """Note an end without an answer; call it with the lock."""
        if record.token in self._waiting:
            self._waiting.remove(record.token)
        self._payloads.pop(record.token, None)
        self._unwritten.pop(record.token, None)
        record = replace(record, ended_at=self._clock(), cancelling=False)
        self._records[record.token] = record
        self._write(record)
        self._changed.notify_all()
        return record

    def _write(self, record: Record, answer: bytes = b"") -> None:
        try:
            self._disk.save(record, answer)
        except OSError as error:
            log.warning("attempt %s could not be written down: %s", record.token, error)
            if answer:
                self._unwritten[record.token] = answer

    def _tidy(self) -> None:
        """Drop what is too old or too much, the oldest first; never what waits or runs."""
        with self._changed:
            outworn, forgotten = self._outworn()
            for record in outworn:
                self._end(replace(record, state="closed", bytes=0))
            for record in forgotten:
                del self._records[record.token]
                try:
                    self._disk.remove(record.token)
                except OSError as error:
                    log.warning("attempt %s could not be removed: %s", record.token, error)

    def _outworn(self) -> tuple[list[Record], list[Record]]:
        """Return what is to be closed, and which closed ones are to be forgotten."""
        ended = [record for record in self._records.values() if record.state in FINAL]
        ended.sort(key=lambda record: record.ended_at or 0.0, reverse=True)
        limits, now, total = self._limits, self._clock(), 0
        outworn, forgotten = [], []
        for place, record in enumerate(ended):
            total += record.bytes
            age = now - (record.ended_at or 0.0)
            if place >= limits.records or (
                record.state == "closed" and age > limits.closed_seconds
            ):
                forgotten.append(record)
            elif record.state != "closed" and (
                age > limits.keep_seconds or (record.bytes and total > limits.keep_bytes)
            ):
                outworn.append(record)
        return outworn, forgotten


def _end_of_cancelled(record: Record) -> str:
    return "closed" if record.closing else "cancelled"
