"""The relay of a web process: reads new event rows and hands them to who listens (design §9).

It hands them over inside of its process. Each web process has a relay of its own, so a channel
layer between them would only carry to each what it has read already. It resumes by ids, so that
a row comes late but is never skipped, and it stands still while nobody listens.
"""

import asyncio
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from contextlib import closing
from typing import Protocol

from apikeys.actors import Actor
from jobs.live.messages import Message
from jobs.live.tail import EventRow, Position, Tail, open_tail

__all__ = ["PUBLIC", "STAFF", "Listener", "Relay", "groups_of", "job_group", "relay"]

logger = logging.getLogger(__name__)

PUBLIC = "public"
STAFF = "staff"
_BACK_OFF_SECONDS = (0.1, 0.5, 1.0, 5.0)
_WELL_SECONDS = 10  # a connection that lived this long was well: its failure begins a new count


class Listener(Protocol):
    """Somebody whom the relay hands messages to."""

    def take(self, message: Message) -> None:
        """Take a message; called on the event loop, must neither wait nor fail."""


def groups_of(actor: Actor) -> list[str]:
    """Return the groups whose events this actor may see: those of `EventQuerySet.visible_to`."""
    if actor.sees_all_jobs:
        return [PUBLIC, STAFF]
    if actor.user_id is not None:
        return [PUBLIC, f"user {actor.user_id}"]
    return [PUBLIC, f"key {actor.key_prefix}"]


def job_group(job: str) -> str:
    """Return the group of all that happens to one job, named by its hexadecimal id."""
    return f"job {job}"


def _groups(row: EventRow) -> list[str]:
    found = [job_group(row.job)] if row.job else []
    if row.public:
        return [*found, PUBLIC]
    found.append(STAFF)
    if row.owner_id is not None:
        found.append(f"user {row.owner_id}")
    elif row.key_prefix is not None:
        found.append(f"key {row.key_prefix}")
    return found


def _merged(rows: Sequence[EventRow]) -> list[EventRow]:
    """Keep all durable rows, and of the short-lived ones the last of its kind for each job."""
    last = {(r.kind, r.job): r.id for r in rows if not r.durable}
    return [r for r in rows if r.durable or last[r.kind, r.job] == r.id]


class Relay:
    """Reads in a thread of its own, hands over on the event loop of its listeners."""

    def __init__(self) -> None:
        self._listeners: dict[Listener, Collection[str]] = {}
        self._groups: dict[str, set[Listener]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wanted = threading.Event()
        self._ready: Future[None] = Future()
        self._position: Position | None = None
        self._thread: threading.Thread | None = None
        self._looked_at = 0.0

    async def join(self, listener: Listener, groups: Collection[str]) -> None:
        """Let somebody listen; on return every row committed from now on will reach them.

        Each `join` needs its `leave`, also when it was cancelled.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # the one before has ended, and its listeners with it
            self._loop = loop
            self._listeners.clear()
            self._groups.clear()
        if not self._listeners:
            self._ready = Future()
            self._looked_at = time.monotonic()
            self._wanted.set()
        self._listeners[listener] = groups
        for group in groups:
            self._groups[group].add(listener)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="event relay", daemon=True)
            self._thread.start()
        # Shielded: one impatient listener must not cancel what the others wait for.
        await asyncio.shield(asyncio.wrap_future(self._ready))

    def leave(self, listener: Listener) -> None:
        """Forget a listener; the relay stands still after the last one."""
        for group in self._listeners.pop(listener, ()):
            self._groups[group].discard(listener)
            if not self._groups[group]:
                del self._groups[group]
        if not self._listeners:
            self._wanted.clear()

    def lag_seconds(self) -> float | None:
        """Return how long ago the relay last looked; None while it stands still."""
        return time.monotonic() - self._looked_at if self._wanted.is_set() else None

    def _run(self) -> None:
        failures = 0
        while True:
            self._wanted.wait()
            began = time.monotonic()
            try:
                with closing(open_tail()) as tail:
                    self._follow(tail)
            except Exception:
                logger.exception("The event relay failed; it reconnects and goes on where it was.")
                failures = failures + 1 if time.monotonic() - began < _WELL_SECONDS else 0
                time.sleep(_BACK_OFF_SECONDS[min(failures, len(_BACK_OFF_SECONDS) - 1)])

    def _follow(self, tail: Tail) -> None:
        while self._wanted.is_set():
            if self._position is None:
                self._position = tail.newest()
            if not self._ready.done():
                self._ready.set_result(None)
            rows = tail.after(self._position)
            self._looked_at = time.monotonic()
            if not rows:
                tail.wait()
                continue
            self._hand_over(_merged(rows))
            self._position = Position(
                event=max((r.id for r in rows if r.durable), default=self._position.event),
                live=max((r.id for r in rows if not r.durable), default=self._position.live),
            )
        self._position = None  # nobody listens: a later round begins with what is new then

    def _hand_over(self, rows: Sequence[EventRow]) -> None:
        """Publish on the event loop, and wait for it: the loop sets the pace."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return None
        publishing = asyncio.run_coroutine_threadsafe(self._publish(rows), loop)
        while True:
            try:
                return publishing.result(timeout=1)
            except TimeoutError:
                if not loop.is_running():  # its listeners are gone with it
                    publishing.cancel()
                    return None

    async def _publish(self, rows: Sequence[EventRow]) -> None:
        for row in rows:
            groups = [found for group in _groups(row) if (found := self._groups.get(group))]
            if not groups:
                continue
            event_id = row.id if row.durable else None
            message = Message.of_event(event_id, row.kind, row.job, row.payload)
            for listeners in groups:
                for listener in listeners:
                    listener.take(message)
            await asyncio.sleep(0)  # let them send this one before the next comes


relay = Relay()
