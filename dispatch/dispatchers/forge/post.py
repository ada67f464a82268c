"""The one long POST of an attempt.

Not by `requests`: what follows from an error depends on whether the request may have been
taken (protocol rules 7 and 9), and that is plain only where connect and send are two steps.
"""

import contextlib
import http.client
import json
import logging
import socket
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urlsplit

from dispatch.dispatchers.base import Address, LostAnswer, NeverReached
from dispatch.dispatchers.calls import Call
from dispatch.dispatchers.forge import untrusted
from dispatch.dispatchers.forge.client import system_trust
from mobilesd.logs import request_headers

__all__ = ["MAX_ANSWER_BYTES", "Post", "RawAnswer"]

MAX_ANSWER_BYTES = 512 * 1024 * 1024
CONNECT_SECONDS = 5
_CHUNK = 256 * 1024
_KEPT_IN_MEMORY = 4 * 1024 * 1024


@dataclass
class RawAnswer:
    """A whole answer, its body in a temporary file that closing deletes."""

    status: int
    body: IO[bytes]

    def json(self) -> Any:
        """Return the parsed body; raises ValueError."""
        self.body.seek(0)
        # As text at once: an answer of 500 MB would else be in memory once more.
        return untrusted.parse(self.body.read().decode())


class Post:
    """Sends requests, one at a time, and waits for the answer without a time limit.

    TCP keep-alive finds a peer whose power was cut; the lane's stall watch finds the rest. With a
    `patience`, in seconds, a silence that is longer than that counts as a lost answer.
    """

    def __init__(
        self,
        address: Address,
        headers: Mapping[str, str] | None = None,
        patience: float | None = None,
    ) -> None:
        self._address = address
        self._patience = patience
        self._own_headers = headers or {}
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._aborted = False

    @property
    def aborted(self) -> bool:
        """Tell whether nobody waits any more."""
        return self._aborted

    def send(
        self, path: str, body: Mapping[str, Any], *, limit: int = MAX_ANSWER_BYTES
    ) -> RawAnswer:
        """Send once and return the answer; raises NeverReached or LostAnswer."""
        content = json.dumps(body).encode()
        with Call("POST", path, sent=len(content)) as call:
            return self._send_once("POST", path, content, limit, call)

    def fetch(
        self, path: str, *, limit: int = MAX_ANSWER_BYTES, level: int = logging.INFO
    ) -> RawAnswer:
        """Return the answer to a GET; raises as `send` does."""
        with Call("GET", path, level=level) as call:
            return self._send_once("GET", path, None, limit, call)

    def _send_once(
        self, method: str, path: str, content: bytes | None, limit: int, call: Call
    ) -> RawAnswer:
        connection = self._connect()
        try:
            with self._lock:
                # The connection forgets its socket as soon as the answer begins.
                self._socket = connection.sock
                if self._aborted:
                    raise LostAnswer("The connection was closed by us.")
            connection.request(method, self._path(path), body=content, headers=self._headers())
            response = connection.getresponse()
            spooled = self._spool(response, limit)
            call.answered(response.status, spooled.tell())
            return RawAnswer(response.status, spooled)
        except (http.client.HTTPException, OSError, ValueError) as error:
            # ValueError: a TLS socket that `abort` has shut down.
            name = type(error).__name__
            raise LostAnswer(f"The connection to the server broke ({name}).") from error
        finally:
            connection.close()

    def abort(self) -> None:
        """Stop waiting; `send` raises LostAnswer in its thread."""
        with self._lock:
            self._aborted = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self._address.url)
        host = parts.hostname or ""
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                host, parts.port, timeout=CONNECT_SECONDS, context=system_trust()
            )
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=CONNECT_SECONDS)
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that can't be a host's
            connection.close()
            raise NeverReached(f"The server can't be reached ({error}).") from error
        sock = connection.sock
        sock.settimeout(self._patience)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        return connection

    def _path(self, path: str) -> str:
        return urlsplit(self._address.url).path.rstrip("/") + path

    def _headers(self) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "Connection": "close",
            **request_headers(),
            **self._address.authorization,
            **self._own_headers,
        }

    @staticmethod
    def _spool(response: http.client.HTTPResponse, limit: int) -> IO[bytes]:
        file = tempfile.SpooledTemporaryFile(_KEPT_IN_MEMORY)  # noqa: SIM115  handed over open
        try:
            size = 0
            while chunk := response.read(_CHUNK):
                size += len(chunk)
                if size > limit:
                    raise LostAnswer(
                        f"The server's answer is larger than {limit // 2**20} MB.",
                        code="answer_too_large",
                        hint="Ask for fewer or smaller pictures at once.",
                    )
                _write(file, chunk)
            if response.length:  # the server closed before the end that it had announced
                raise LostAnswer("The server's answer ended in the middle.")
        except BaseException:
            file.close()
            raise
        return file


def _write(file: IO[bytes], chunk: bytes) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise LostAnswer(
            f"MobileSD could not store the server's answer ({error.strerror}).",
            code="disk_full",
            hint="Free some space on MobileSD's disk, then retry the job.",
        ) from error
