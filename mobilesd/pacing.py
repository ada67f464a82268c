"""Sends no faster than the client reads.

daphne hands whatever an application sends to its transport, which keeps it in memory: a client
that does not read would cost the whole of a large file, or all events since it stopped. Here
`send` returns when the transport has room again, as the other ASGI servers do it.
"""

from daphne.server import Server  # isort:skip  # installs the asyncio reactor: before all else

import asyncio
from typing import Any

from twisted.web.http import HTTPChannel

__all__ = ["PacedChannel", "PacedServer"]

# For 64 kB, or one chunk of a file: who takes less in that time is gone.
STUCK_SECONDS = 120

_Channel: Any = HTTPChannel  # whose methods have no types


class PacedChannel(_Channel):  # type: ignore[misc]
    """A connection that knows whether its transport has room.

    The transport says so to the producer that is registered with it, which is the channel; also
    after the connection has become a WebSocket.
    """

    _room: "asyncio.Future[None] | None" = None

    def pauseProducing(self) -> None:
        self._room = asyncio.get_running_loop().create_future()
        super().pauseProducing()

    def resumeProducing(self) -> None:
        self._has_room()
        super().resumeProducing()

    def stopProducing(self) -> None:
        self._has_room()  # the connection is lost: whoever waits shall go on, and notice
        super().stopProducing()

    def _has_room(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    async def room(self) -> None:
        """Return when there is room; end the connection if that takes too long."""
        room = self._room
        if room is None:
            return
        # Not awaited itself: a caller that is cancelled must not cancel what others wait for.
        await asyncio.wait({room}, timeout=STUCK_SECONDS)
        if not room.done():
            self.transport.abortConnection()


class PacedServer(Server):  # type: ignore[misc]  # daphne has no types
    """daphne's server, whose `send` waits for room; its channels must be PacedChannels."""

    async def handle_reply(self, protocol: Any, message: Any) -> None:
        await super().handle_reply(protocol, message)
        if message.get("more_body", message["type"] == "websocket.send"):
            channel = getattr(protocol.transport, "producer", None)
            if isinstance(channel, PacedChannel):
                await channel.room()
