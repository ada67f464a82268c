"""What one client gets of the live events, over a socket or as server-sent events (design §9)."""

import asyncio
from collections import deque
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs

from channels.db import database_sync_to_async

from apikeys.actors import Actor
from apikeys.rights import Credential
from jobs.live import replay
from jobs.live.messages import Message
from jobs.live.relay import groups_of, relay
from jobs.live.rounds import rounds

__all__ = ["Ended", "Since", "Subscription"]

QUEUED_EVENTS = 50


class Ended(Exception):
    """The client may not listen any more: `signed_out`, or its rights are others now."""

    def __init__(self, *, signed_out: bool) -> None:
        super().__init__(signed_out)
        self.signed_out = signed_out


@dataclass(frozen=True)
class Since:
    """What a client says that it knows: an event id, and the life of the ids that it is from.

    `known` is False for one that says something that can't be understood: it must begin anew.
    """

    event_id: int | None = None
    epoch: str | None = None
    known: bool = True

    @classmethod
    def of_texts(cls, after: str | None, epoch: str | None) -> "Since":
        """Read what a client said; nothing said is nothing known, and understood."""
        # More than 18 digits fit into no id column.
        if after is None or (after.isascii() and after.isdecimal() and len(after) <= 18):
            return cls(None if after is None else int(after), epoch)
        return cls(known=False)

    @classmethod
    def of_query(cls, query_string: bytes) -> "Since":
        """Read the parameters `after` and `epoch` of an address."""
        query = parse_qs(query_string.decode("latin-1"))
        return cls.of_texts(query.get("after", [None])[0], query.get("epoch", [None])[0])

    @classmethod
    def of_mark(cls, mark: str) -> "Since":
        """Read the `id:` of a server-sent event, `<epoch>:<event id>`."""
        epoch, colon, after = mark.rpartition(":")
        return cls.of_texts(after, epoch) if colon else cls(known=False)


class Subscription(AbstractAsyncContextManager["Subscription"]):
    """Hello, what was missed, then what happens: each durable event once and in order.

    The relay puts messages in by `take`, one task of the client's takes them out by `next`. What
    does not fit is read again from the table by the last id sent (`_behind`), and of short-lived
    events the last of its kind for each job stays: a slow client costs a bounded memory.
    """

    def __init__(
        self,
        actor: Actor,
        credential: Credential,
        since: Since,
        interest: replay.Interest = replay.EVERYTHING,
    ) -> None:
        self.actor = actor
        self.credential = credential
        self.epoch = ""
        self._since = since
        self._interest = interest
        self._last_id = 0
        self._replayed: deque[Message] = deque()
        self._durable: deque[Message] = deque()
        self._live: dict[tuple[str, str], Message] = {}
        self._behind = False
        self._ended: Ended | None = None
        self._wake = asyncio.Event()

    async def __aenter__(self) -> Self:
        # Listening comes before reading: what is committed in between arrives twice, never not.
        try:
            rounds.add(self)
            await relay.join(self, groups_of(self.actor))
            await self._greet()
        except BaseException:
            self._leave()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        relay.leave(self)
        rounds.remove(self)

    # --- Putting in: on the event loop, without waiting ---------------------------------------

    def take(self, message: Message) -> None:
        """Take a message from the relay."""
        if not self._interest.includes(message):
            return
        if message.position is None:
            self._live[message.kind, message.job] = message
        elif len(self._durable) >= QUEUED_EVENTS:
            self._durable.clear()
            self._behind = True
        elif not self._behind:
            self._durable.append(message)
        self._wake.set()

    def end(self, *, signed_out: bool) -> None:
        """Let `next` raise Ended."""
        self._ended = Ended(signed_out=signed_out)
        self._wake.set()

    # --- Taking out ---------------------------------------------------------------------------

    async def next(self, patience: float | None = None) -> Message | None:
        """Return what to send next, or None after `patience` seconds of silence; raise Ended."""
        while True:
            if (message := await self._waiting()) is not None:
                return message
            self._wake.clear()
            try:
                async with asyncio.timeout(patience):
                    await self._wake.wait()
            except TimeoutError:
                return None

    async def _waiting(self) -> Message | None:
        """Return the next message if there is one: missed ones, then durable, then short-lived."""
        while True:
            if self._ended is not None:
                raise self._ended
            if self._replayed:
                return self._replayed.popleft()
            if self._behind:
                self._behind = False
                await self._catch_up()
            elif self._durable:
                message = self._durable.popleft()
                assert message.position is not None
                if message.position > self._last_id:
                    self._last_id = message.position
                    return message
            elif self._live:
                return self._live.pop(next(iter(self._live)))
            else:
                return None

    async def _greet(self) -> None:
        standing = await database_sync_to_async(replay.standing)()
        self.epoch, newest, since = standing.epoch, standing.last_event_id, self._since
        anew = not since.known or since.epoch not in (None, standing.epoch)
        resumed = since.event_id is not None and not anew
        self._last_id = since.event_id if resumed and since.event_id is not None else newest
        hello = Message(
            "hello",
            {"last_event_id": newest, "epoch": standing.epoch},
            # One that must begin anew may lose the connection before it has read that: it must
            # not come back with an id that looks good.
            position=None if anew else self._last_id,
        )
        self._replayed.append(hello)
        if anew:
            self._reset()
        elif resumed:
            await self._catch_up()

    async def _catch_up(self) -> None:
        missed = database_sync_to_async(replay.missed)
        found = await missed(self.actor, self._last_id, self._interest)
        self._last_id = found.last_event_id
        if found.messages is None:
            self._reset()
        else:
            self._replayed.extend(found.messages)

    def _reset(self) -> None:
        self._replayed.append(Message("reset", {}, position=self._last_id))
