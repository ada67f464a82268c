"""One client's connection: HTTP on the wire, and the faults that strike there."""

from __future__ import annotations

import json
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from dispatch.fakes.forge.control import PREFIX
from dispatch.fakes.forge.errors import ServerStopped
from dispatch.fakes.forge.faults import ANSWER, GENERATION_PATHS, Fault
from dispatch.fakes.forge.routes import Request, Response

if TYPE_CHECKING:
    from dispatch.fakes.forge.server import FakeForge

_MAX_BODY = 1024**3
_CHUNK = 64 * 1024
_NOT_FOUND = b'{"detail":"Not Found"}'
_HTML = b"<!doctype html><html><body><h1>Welcome</h1><p>Please sign in.</p></body></html>"


class Connection(BaseHTTPRequestHandler):
    """Serves one keep-alive connection from start to end, in its own thread."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30  # Forge's --timeout-keep-alive; a running job reads nothing and is not hit

    def __init__(self, connection: Any, address: Any, server: FakeForge) -> None:
        self._fake = server
        super().__init__(connection, address, server)  # type: ignore[arg-type]

    def _serve(self) -> None:
        request = self._read()
        if request is None:
            return
        try:
            if request.path.startswith(PREFIX):
                self._send(self._fake.control(request))
                return
            fault = self._fake.faults.take(ANSWER, request.path)
            if fault is None:
                self._send(self._fake.handle(request))
            else:
                self._serve_badly(request, fault)
        except ServerStopped:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a fake in a test has no terminal of its own."""

    def _read(self) -> Request | None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            length = int(headers.get("content-length") or 0)
        except ValueError:
            length = -1
        if "transfer-encoding" in headers or not 0 <= length <= _MAX_BODY:
            self.close_connection = True
            text = b"The fake takes bodies with a Content-Length of at most 1 GB only."
            self._send(Response(411, text, "text/plain"))
            return None
        body = self.rfile.read(length) if length else b""
        if len(body) < length:
            self.close_connection = True
            return None
        url = urlsplit(self.path)
        return Request(self.command, url.path, dict(parse_qsl(url.query)), headers, body)

    def _send(self, response: Response) -> None:
        body = b"" if self.command == "HEAD" else response.body
        self.wfile.write(self._head(response, len(response.body)) + body)

    def _head(self, response: Response, length: int | None) -> bytes:
        headers = {
            "date": formatdate(usegmt=True),
            "server": "uvicorn",
            **response.headers,
            "content-type": response.content_type,
        }
        if length is not None:
            headers["content-length"] = str(length)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {response.status} {_phrase(response.status)}\r\n{lines}\r\n".encode()

    def _serve_badly(self, request: Request, fault: Fault) -> None:
        strike: dict[str, Callable[[Request, Fault], None]] = {
            "drop_after": self._drop_after,
            "drop_before": self._drop_before,
            "garbage_json": self._garbage_json,
            "half_closed": self._half_closed,
            "html": self._html,
            "huge_answer": self._huge_answer,
            "not_ready": self._not_ready,
            "slow": self._slow,
        }
        strike[fault.kind](request, fault)

    def _run(self, request: Request, fault: Fault) -> Response:
        """Do the work; the fault only spoils the answer."""
        response = self._fake.handle(request)
        if response.run:
            response.run.faults.append(fault.kind)
        return response

    def _note(self, request: Request, fault: Fault, status: int | None) -> None:
        """Log a generation whose work is not even begun."""
        if request.path not in GENERATION_PATHS:
            return
        try:
            body = json.loads(request.body)
        except ValueError:
            body = None
        run = self._fake.log.open(request.path, body)
        run.faults.append(fault.kind)
        run.status = status

    def _drop_before(self, request: Request, fault: Fault) -> None:
        self._note(request, fault, None)
        self.close_connection = True

    def _drop_after(self, request: Request, fault: Fault) -> None:
        response = self._run(request, fault)
        if response.run:
            response.run.status = None
        self.close_connection = True

    def _half_closed(self, request: Request, fault: Fault) -> None:
        response = self._run(request, fault)
        half = response.body[: len(response.body) // 2]
        self.close_connection = True
        self.wfile.write(self._head(response, len(response.body)) + half)

    def _garbage_json(self, request: Request, fault: Fault) -> None:
        response = self._run(request, fault)
        response.body = response.body[: len(response.body) // 2] + b"\xff\x00}"
        self._send(response)

    def _html(self, request: Request, fault: Fault) -> None:
        self._note(request, fault, 200)
        self._send(Response(200, _HTML, "text/html; charset=utf-8"))

    def _not_ready(self, request: Request, fault: Fault) -> None:
        self._note(request, fault, 404)
        self._send(Response(404, _NOT_FOUND))

    def _slow(self, request: Request, fault: Fault) -> None:
        response = self._run(request, fault)
        if self._fake.engine.stopping.wait(fault.seconds):
            raise ServerStopped
        self._send(response)

    def _huge_answer(self, request: Request, fault: Fault) -> None:
        """Send one endless JSON string, never more than a chunk in memory."""
        self._note(request, fault, 200)
        self.close_connection = True
        start = b'{"images":["'
        response = Response(200, b"", headers={"connection": "close"})
        length = fault.size if fault.declare_size else None
        self.wfile.write(self._head(response, length) + start)
        chunk = b"A" * _CHUNK
        left = fault.size - len(start)
        while left > 0 and not self._fake.engine.stopping.is_set():
            self.wfile.write(chunk[: min(left, _CHUNK)])
            left -= _CHUNK


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
