"""Channels' in-memory layer, made cheap for many sockets in one process.

The stock layer looks at all channels and groups on every receive, which makes a broadcast cost
the square of the sockets (stack.md §1.2); it starts a task and copies the message for each
socket; and it drops a socket from its groups after a day without a word.
"""

import asyncio
import contextlib
import time
from typing import Any

from channels.layers import InMemoryChannelLayer

__all__ = ["LocalChannelLayer"]

_CLEAN_SECONDS = 1.0


class LocalChannelLayer(InMemoryChannelLayer):
    """An in-memory layer for messages that their receivers only read.

    It cleans at most once a second; memberships end with the socket.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"group_expiry": 10**9, **options})
        self._cleaned_at = 0.0

    def _clean_expired(self) -> None:
        now = time.monotonic()
        if now - self._cleaned_at < _CLEAN_SECONDS:
            return
        self._cleaned_at = now
        super()._clean_expired()  # type: ignore[misc]  # the stubs leave it out

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Put the one message into the queue of each member; a full queue misses it."""
        self.require_valid_group_name(group)
        self._clean_expired()
        entry = (time.time() + self.expiry, message)
        for channel in list(self.groups.get(group, ())):
            queue = self.channels.get(channel)
            if queue is None:
                queue = self.channels[channel] = asyncio.Queue(self.get_capacity(channel))
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(entry)
        await asyncio.sleep(0)  # let the receivers empty their queues before the next message
