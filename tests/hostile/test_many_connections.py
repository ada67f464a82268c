"""Only so many connections at once: those that there are go on, the next ones are told."""

import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.hostile.conftest import Answer, Wire, accesses, read_all
from tests.processes.conftest import prepared_folder  # noqa: F401
from tests.processes.installation import Installation, eventually

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]
MOST, REFUSED = 20, 64  # mobilesd.serving.ROOM_FOR_REFUSED


@pytest.fixture(scope="module")
def small(
    prepared_folder: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("many") / "data"
    shutil.copytree(prepared_folder, folder)
    env = {"MOBILESD_MAX_CONNECTIONS": str(MOST)}
    with Installation(folder, arguments=["--only", "web"], env=env) as inst:
        yield inst


@pytest.fixture(scope="module")
def wire(small: Installation) -> Wire:
    return Wire(small.port, small.create_key())


def _answers(wire: Wire) -> bool:
    return wire.request("GET", "/api/v2/whoami").status == 200


def test_the_next_ones_get_a_503_and_the_others_go_on(small: Installation, wire: Wire) -> None:
    eventually(lambda: _answers(wire), 10, "an answer")
    with contextlib.ExitStack() as stack:
        streams = []
        for _ in range(MOST // 2):
            stream = stack.enter_context(wire.connect())
            stream.sendall(
                b"GET /api/v2/events HTTP/1.1\r\nHost: localhost\r\n"
                b"Authorization: Api-Key " + wire.token.encode() + b"\r\n\r\n"
            )
            assert b"200 OK" in stream.recv(65536)
            streams.append(stream)
        idle = [stack.enter_context(wire.connect()) for _ in range(MOST - len(streams))]
        with wire.connect() as late:  # before it has said anything
            answer = Answer(read_all(late))
        assert (answer.status, answer.error) == (503, "server_busy")
        assert answer.headers["retry-after"] == "5"
        assert answer.headers["connection"] == "close"
        late_too = wire.request("GET", "/api/v2/whoami")
        assert (late_too.status, late_too.error) == (503, "server_busy")
        idle[0].sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in idle[0].recv(65536)
        idle.pop().close()
        eventually(lambda: _answers(wire), 10, "an answer once there is room")
    eventually(lambda: accesses(small, status=503, error="server_busy") >= 2, 10, "the log")


def test_a_crowd_beyond_the_refused_is_just_closed(wire: Wire) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(MOST + REFUSED + 10):
            closed = b""
            with contextlib.suppress(ConnectionResetError):  # before connect has returned
                each = stack.enter_context(wire.connect())
                each.settimeout(5)
                if number == MOST + REFUSED + 9:
                    closed = read_all(each)
        assert closed == b""
    eventually(lambda: _answers(wire), 15, "an answer after the crowd")


def test_websockets_that_have_ended_do_not_count(wire: Wire) -> None:
    origin = f"http://localhost:{wire.port}"
    for _ in range(MOST + 5):
        # Nobody is signed in: it is let in to be told so, and closed.
        url = f"ws://localhost:{wire.port}/ws/events/"
        with connect(url, origin=origin) as ws, pytest.raises(ConnectionClosed):
            ws.recv(10)
    for _ in range(MOST + 5):  # these vanish in the middle of it
        with socket.create_connection(("127.0.0.1", wire.port), timeout=10) as raw:
            raw.sendall(
                b"GET /ws/events/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                b"Sec-WebSocket-Version: 13\r\nOrigin: " + origin.encode() + b"\r\n\r\n"
            )
            assert b"101" in raw.recv(65536)
    eventually(lambda: _answers(wire), 10, "an answer after all sockets")
