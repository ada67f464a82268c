"""An end for an HTTP exchange as a whole.

The time-outs of requests are for each piece: a peer that sends a byte now and then, of its TLS
handshake, its headers or its body, holds the caller for hours.
"""

import contextlib
import socket
import threading
from typing import Any

from requests.adapters import HTTPAdapter

__all__ = ["Deadline", "DeadlineAdapter"]


class Deadline:
    """Shuts the connections of a block down once its time is over; `passed` tells that it was."""

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> "Deadline":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.lift()

    def lift(self) -> None:
        """Let the connections live on."""
        self._timer.cancel()
        with self._lock:
            while self._sockets:
                self._sockets.pop().close()

    def watch(self, connection: socket.socket) -> None:
        """Shut this one down as well."""
        # A duplicate: TLS takes the socket out of the object that it was handed.
        duplicate = connection.dup()
        with self._lock:
            self._sockets.append(duplicate)
            if self.passed:
                _shut_down(duplicate)

    def _end(self) -> None:
        with self._lock:
            self.passed = True
            for connection in self._sockets:
                _shut_down(connection)


class DeadlineAdapter(HTTPAdapter):
    """Opens connections that a deadline watches."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pools of connections through a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        self._watch(manager)
        return manager

    def _watch(self, manager: Any) -> None:
        manager.pool_classes_by_scheme = {
            scheme: _watched(pool, self._deadline)
            for scheme, pool in manager.pool_classes_by_scheme.items()
        }


def _watched(pool: Any, deadline: Deadline) -> Any:
    class Connection(pool.ConnectionCls):  # type: ignore[misc]
        def _new_conn(self) -> Any:
            made = super()._new_conn()
            deadline.watch(made)
            return made

    return type(pool.__name__, (pool,), {"ConnectionCls": Connection})


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side was quicker
        connection.shutdown(socket.SHUT_RDWR)
