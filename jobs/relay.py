"""The relay of a web process: reads new event rows and hands them to its sockets (design §9).

Only this module calls `group_send`. It resumes by ids, so that a row is sent late but never
skipped, and it stands still while no socket is open.
"""

import asyncio
import logging
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import closing

from channels.layers import get_channel_layer

from jobs.tail import EventRow, Position, Tail, open_tail

__all__ = ["PUBLIC", "STAFF", "Relay", "relay", "user_group"]

logger = logging.getLogger(__name__)

PUBLIC = "events.public"
STAFF = "events.staff"
_BACK_OFF_SECONDS = (0.1, 0.5, 1.0, 5.0)
_WELL_SECONDS = 10  # a connection that lived this long was well: its failure begins a new count


def user_group(user_id: int) -> str:
    """Return the group of the events that a user sees as the owner of jobs."""
    return f"events.user.{user_id}"


def _groups(row: EventRow) -> list[str]:
    if row.public:
        return [PUBLIC]
    return [STAFF] if row.owner_id is None else [STAFF, user_group(row.owner_id)]


def _merged(rows: Sequence[EventRow]) -> list[EventRow]:
    """Keep all durable rows, and of the short-lived ones the last of its kind for each job."""
    last = {(r.kind, r.job_id): r.id for r in rows if not r.durable}
    return [r for r in rows if r.durable or last[r.kind, r.job_id] == r.id]


class Relay:
    """Reads in a thread of its own, sends on the event loop of the sockets.

    `key` tells apart the relays of several web processes on one shared layer: a socket listens
    to its own process's relay only, for the others may be ahead of it or behind. `serials` counts
    the durable messages of each group, so that a socket sees when the layer has dropped one.
    """

    def __init__(self) -> None:
        self.key = uuid.uuid4().hex
        self.serials: dict[str, int] = defaultdict(int)
        self._listeners = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wanted = threading.Event()
        self._ready: Future[None] = Future()
        self._position: Position | None = None
        self._thread: threading.Thread | None = None
        self._looked_at = 0.0

    async def join(self) -> None:
        """Count a listener in; on return every row committed from now on will be sent.

        Each `join` needs its `leave`, also when it was cancelled.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # the one before has ended, and its listeners with it
            self._loop, self._listeners = loop, 0
        self._listeners += 1
        if self._listeners == 1:
            self._ready = Future()
            self._looked_at = time.monotonic()
            self._wanted.set()
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="event relay", daemon=True)
            self._thread.start()
        # Shielded: one impatient listener must not cancel what the others wait for.
        await asyncio.shield(asyncio.wrap_future(self._ready))

    def leave(self) -> None:
        """Count a listener out; the relay stands still after the last one."""
        self._listeners = max(0, self._listeners - 1)
        if self._listeners == 0:
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
        """Send on the event loop, and wait for it: the loop sets the pace."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return None
        sending = asyncio.run_coroutine_threadsafe(self._send(rows), loop)
        while True:
            try:
                return sending.result(timeout=1)
            except TimeoutError:
                if not loop.is_running():  # its sockets are gone with it
                    sending.cancel()
                    return None

    async def _send(self, rows: Sequence[EventRow]) -> None:
        layer = get_channel_layer()
        if layer is None:
            raise RuntimeError("CHANNEL_LAYERS has no default layer")
        for row in rows:
            for group in _groups(row):
                if row.durable:
                    self.serials[group] += 1
                await layer.group_send(
                    group,
                    {
                        "type": "relayed.event",
                        "relay": self.key,
                        "group": group,
                        "serial": self.serials[group],
                        "id": row.id,
                        "durable": row.durable,
                        "kind": row.kind,
                        "job": row.job_id,
                        "payload": row.payload,
                    },
                )


relay = Relay()
