"""A web server that answers as a test tells it to, over real sockets."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Asked", "Reply", "Scripted", "problem", "scripted"]


@dataclass(frozen=True)
class Asked:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What to answer; `hang_up` closes the connection without a word."""

    status: int = 200
    json: Any = None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False


def problem(status: int, error: str, *, headers: Any = None, **details: Any) -> Reply:
    """Return an error in MobileSD's form."""
    message = details.pop("message", f"This is {error}.")
    body = {"success": False, "error": error, "message": message, "details": details}
    return Reply(status, body, headers=headers or {})


class Scripted:
    """The server: `asked` is what came in, `answer` decides what goes back."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Reply] = lambda asked: Reply(404, body=b"<h1>no</h1>")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.free = threading.Event()  # set: whoever waits in an answer goes on
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, self.rfile.read(length))
                scripted.asked.append(asked)
                reply = scripted.answer(asked)
                if reply.hang_up:
                    self.close_connection = True
                    return
                body = reply.body if reply.json is None else json.dumps(reply.json).encode()
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                return

        return Handler

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.free.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def scripted() -> Iterator[Scripted]:
    """Run a server for as long as the block lasts."""
    server = Scripted()
    server.start()
    try:
        yield server
    finally:
        server.stop()
