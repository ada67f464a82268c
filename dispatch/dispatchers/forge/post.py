"""The one long POST of an attempt.

Not by `requests`: what follows from an error depends on whether the request may have been
taken (protocol rules 7 and 9), and that is plain only where connect and send are two steps.
"""

import base64
import contextlib
import http.client
import json
import os
import socket
import ssl
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from dispatch.dispatchers.base import Address, LostAnswer, NeverReached

__all__ = ["MAX_ANSWER_BYTES", "Post", "RawAnswer"]

MAX_ANSWER_BYTES = 512 * 1024 * 1024
CONNECT_SECONDS = 5
_CHUNK = 256 * 1024


@dataclass
class RawAnswer:
    """A whole answer, its body in a temporary file that closing deletes."""

    status: int
    content_type: str
    body: BinaryIO

    def json(self) -> Any:
        """Return the parsed body; raises ValueError."""
        self.body.seek(0)
        return json.load(self.body)


class Post:
    """Sends one request and waits for its answer without a time limit.

    TCP keep-alive finds a peer whose power was cut; the lane's stall watch finds the rest.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: http.client.HTTPConnection | None = None
        self._lock = threading.Lock()
        self._aborted = False

    def send(
        self, path: str, body: Mapping[str, Any], *, limit: int = MAX_ANSWER_BYTES
    ) -> RawAnswer:
        """Send once and return the answer; raises NeverReached or LostAnswer."""
        content = json.dumps(body).encode()
        connection = self._connect()
        try:
            with self._lock:
                self._connection = connection
                if self._aborted:
                    raise LostAnswer("The connection was closed by us.")
            connection.request("POST", self._path(path), body=content, headers=self._headers())
            response = connection.getresponse()
            return RawAnswer(
                response.status,
                response.headers.get_content_type(),
                self._spool(response, limit),
            )
        except (http.client.HTTPException, OSError) as error:
            name = type(error).__name__
            raise LostAnswer(f"The connection to the server broke ({name}).") from error
        finally:
            connection.close()

    def abort(self) -> None:
        """Stop waiting; `send` raises LostAnswer in its thread."""
        with self._lock:
            self._aborted = True
            sock = self._connection.sock if self._connection is not None else None
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self._address.url)
        host = parts.hostname or ""
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                host, parts.port, timeout=CONNECT_SECONDS, context=ssl.create_default_context()
            )
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=CONNECT_SECONDS)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise NeverReached(f"The server can't be reached ({error}).") from error
        sock = connection.sock
        sock.settimeout(None)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        return connection

    def _path(self, path: str) -> str:
        return urlsplit(self._address.url).path.rstrip("/") + path

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Connection": "close"}
        if self._address.username:
            pair = f"{self._address.username}:{self._address.password}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
        return headers

    @staticmethod
    def _spool(response: http.client.HTTPResponse, limit: int) -> BinaryIO:
        file = tempfile.TemporaryFile()  # noqa: SIM115  handed to the caller open
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
                file.write(chunk)
            if response.length:  # the server closed before the end that it had announced
                raise LostAnswer("The server's answer ended in the middle.")
            file.seek(0, os.SEEK_SET)
        except BaseException:
            file.close()
            raise
        return file
