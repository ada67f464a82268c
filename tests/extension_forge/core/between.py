"""A wire between the extension and MobileSD that a test can cut at a chosen moment."""

import contextlib
import socket
import threading
from collections.abc import Callable

__all__ = ["Wire"]


class Wire:
    """Listens, and hands each connection on to a port.

    `on_request` is called once a request has been handed on whole; `on_answer` once the other
    side has begun to answer. If one returns False, the connection ends there without a word.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.on_request: Callable[[bytes], bool] = lambda request: True
        self.on_answer: Callable[[bytes], bool] = lambda request: True
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                inner, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._carry, args=(inner,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _carry(self, inner: socket.socket) -> None:
        with inner:
            request = _whole_request(inner)
            try:
                outer = socket.create_connection(("127.0.0.1", self._to), 5)
            except OSError:
                return
            with outer:
                self._open |= {inner, outer}
                outer.settimeout(60)
                outer.sendall(request)
                if not self.on_request(request):
                    return
                first = True
                try:
                    while piece := outer.recv(65536):
                        if first and not self.on_answer(request):
                            return
                        first = False
                        inner.sendall(piece)
                except OSError:
                    return


def _whole_request(connection: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        if not (piece := connection.recv(65536)):
            return request
        request += piece
    head, _, body = request.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        piece = connection.recv(65536)
        body += piece
        request += piece
    # One request a connection, so that the end of the answer is the end of the connection.
    return request.replace(b"Connection: keep-alive", b"Connection: close", 1)
