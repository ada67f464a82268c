"""Requests that trickle in: each has an end, the others are served, and a slow phone is not cut."""

import socket
import time

import psutil
import pytest
import requests

from tests.hostile.conftest import PATIENCE, Answer, Wire, accesses, read_all
from tests.processes.installation import Installation, eventually

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

PACE = 0.25
HEADERS = b"GET /status HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
BODY = b"POST /api/v2/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n\r\n"
CHUNKS = b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


class Slow:
    """A connection that sends a bit at each turn until it is answered."""

    def __init__(self, wire: Wire, first: bytes, bit: bytes) -> None:
        self.connection = wire.connect()
        self.connection.settimeout(0)
        self.bit = bit
        self.raw = b""
        self.open = True
        self.connection.sendall(first)

    def turn(self) -> None:
        try:
            if self.open and self.bit:
                self.connection.send(self.bit)
            while self.open:
                chunk = self.connection.recv(65536)
                self.raw += chunk
                self.open = bool(chunk)
        except BlockingIOError:
            pass
        except OSError:
            self.open = False


def test_slow_connections_end_and_hold_nobody_up(
    web: Installation, wire: Wire, process: psutil.Process
) -> None:
    before = accesses(web, status=408)
    generate = {"status": 408, "route": "api/v2/generate", "method": "POST"}
    before_generate = accesses(web, **generate)
    files = process.num_fds()
    kinds = [(HEADERS, b"x"), (BODY, b"["), (CHUNKS, b"1\r\n[\r\n"), (HEADERS, b""), (BODY, b"")]
    slow = [Slow(wire, first, bit) for first, bit in kinds for _ in range(20)]
    idle = [Slow(wire, b"", b"") for _ in range(20)]
    began = time.monotonic()
    longest = 0.0
    while any(one.open for one in slow + idle):
        assert time.monotonic() - began < 4 * PATIENCE, "they are still there"
        for one in slow + idle:
            one.turn()
        asked = time.monotonic()
        assert requests.get(f"{web.url}/status", timeout=10).status_code == 200
        longest = max(longest, time.monotonic() - asked)
        time.sleep(PACE)  # the pace at which they trickle

    for one in slow:
        answer = Answer(one.raw)
        assert (answer.status, answer.error) == (408, "request_timeout")
        one.connection.close()
    assert [one.raw for one in idle] == [b""] * 20  # nothing was asked, nothing is answered
    for one in idle:
        one.connection.close()
    assert longest < 2
    eventually(lambda: process.num_fds() <= files + 5, 10, "their sockets are closed")
    eventually(lambda: accesses(web, status=408) == before + len(slow), 10, "lines in the log")
    # Headers that never ended have no route, and a path that is not there neither.
    assert accesses(web, **generate) == before_generate + 40


def test_a_body_that_comes_slowly_but_steadily_is_taken(wire: Wire) -> None:
    bit, turns = b" " * 4096, int(1.6 * PATIENCE / PACE)
    length = len(bit) * turns + 2
    with wire.connect() as connection:
        connection.sendall(
            b"POST /api/v2/generate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            + f"Authorization: Api-Key {wire.token}\r\n".encode()
            + f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()
        )
        began = time.monotonic()
        for _ in range(turns):
            connection.sendall(bit)
            time.sleep(PACE)  # a slow network
        assert time.monotonic() - began > PATIENCE
        connection.sendall(b"{}")
        answer = Answer(read_all(connection))
    assert (answer.status, answer.error) == (400, "missing_required_field")


def test_a_client_that_never_hangs_up_is_let_go(wire: Wire, process: psutil.Process) -> None:
    files = process.num_fds()
    connections: list[socket.socket] = []
    try:
        for _ in range(10):
            connection = wire.connect()
            connections.append(connection)
            connection.sendall(b"nonsense\r\n\r\n")
        eventually(lambda: process.num_fds() > files, 5, "they are connected")
        eventually(lambda: process.num_fds() <= files + 2, 10, "they are let go")
    finally:
        for connection in connections:
            connection.close()
