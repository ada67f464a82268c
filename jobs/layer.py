"""Channels' in-memory layer, made cheap for many sockets in one process.

The stock layer looks at all channels and groups on every receive, which makes a broadcast cost
the square of the sockets (stack.md §1.2), and it drops a socket from its groups after a day
without a word.
"""

import time
from typing import Any

from channels.layers import InMemoryChannelLayer

__all__ = ["LocalChannelLayer"]

_CLEAN_SECONDS = 1.0


class LocalChannelLayer(InMemoryChannelLayer):
    """An in-memory layer that cleans at most once a second; memberships end with the socket."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"group_expiry": 10**9, **options})
        self._cleaned_at = 0.0

    def _clean_expired(self) -> None:
        now = time.monotonic()
        if now - self._cleaned_at < _CLEAN_SECONDS:
            return
        self._cleaned_at = now
        super()._clean_expired()  # type: ignore[misc]  # the stubs leave it out
