"""Event streams and `wait=` as programs meet them: over TCP, from the real web process."""

import contextlib
import json
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from mobilesd import sqlite
from tests.processes.conftest import prepared_folder  # noqa: F401
from tests.processes.installation import Installation, eventually

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]


@pytest.fixture(scope="module")
def inst(prepared_folder: Path, tmp_path_factory: Any) -> Iterator[Installation]:  # noqa: F811
    folder = tmp_path_factory.mktemp("streams") / "data"
    shutil.copytree(prepared_folder, folder)
    with Installation(folder, arguments=["--only", "web"]) as started:
        yield started
        # Programs that follow must not keep it from stopping.
        with _stream(started) as stream:
            next(stream)
            assert started.stop() <= 5


@contextlib.contextmanager
def _stream(inst: Installation, last: str = "", **params: Any):
    """Follow the events; yield an iterator of (id, event)."""
    headers = {"Last-Event-ID": last} if last else {}
    answer = inst.api.get("/api/v2/events", headers=headers, params=params, stream=True, timeout=30)
    assert answer.status_code == 200, answer.text

    def events() -> Iterator[tuple[str, dict[str, Any]]]:
        mark = ""
        for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
            name, _, value = line.partition(": ")
            if name == "id":
                mark = value
            elif name == "data":
                yield mark, json.loads(value)

    with contextlib.closing(answer):
        yield events()


def test_a_program_that_comes_back_misses_nothing(inst: Installation) -> None:
    with _stream(inst) as stream:
        _, hello = next(stream)
        assert hello["type"] == "hello"
        first = inst.submit()
        mark, event = next(stream)
        assert (event["type"], event["job"]) == ("job.created", first)
        assert mark == f"{hello['epoch']}:{event['id']}"
    away = [inst.submit(seed=n) for n in range(3)]
    with _stream(inst, mark) as stream:
        assert next(stream)[1]["type"] == "hello"
        now = inst.submit(seed=9)
        assert [next(stream)[1]["job"] for _ in range(4)] == [*away, now]


def test_another_key_of_the_installation_sees_nothing_of_it(inst: Installation) -> None:
    stranger = {"Authorization": f"Api-Key {inst.create_key()}"}
    with (
        contextlib.closing(
            requests.get(f"{inst.url}/api/v2/events", headers=stranger, stream=True, timeout=30)
        ) as answer,
        _stream(inst) as own,
    ):
        next(own)
        job = inst.submit()
        assert next(own)[1]["job"] == job
        raw = answer.raw.read1(65536) if hasattr(answer.raw, "read1") else answer.raw.read(1)
        assert job.encode() not in raw


def test_who_hangs_up_is_let_go(inst: Installation) -> None:
    job = inst.submit()
    for path in ("/api/v2/events", f"/api/v2/jobs/{job}/status?wait=30"):
        before = _connections(inst)
        opened = [_request(inst, path) for _ in range(20)]
        eventually(lambda before=before: _connections(inst) >= before + 15, 10, "they are open")
        for each in opened:
            each.close()
        eventually(lambda before=before: _connections(inst) <= before, 10, "they are closed")


def test_two_hundred_wait_and_everybody_else_is_answered(inst: Installation) -> None:
    job = inst.submit()
    web = inst.process("web")
    inst.api.get(f"/api/v2/jobs/{job}/status").raise_for_status()
    threads = web.num_threads()
    path = f"/api/v2/jobs/{job}/status?wait=30"
    waiting = [_request(inst, path) for _ in range(200)]
    try:
        eventually(lambda: _connections(inst) >= 200, 10, "they are open")
        for _ in range(10):
            began = time.monotonic()
            assert inst.answer("/healthz") == 200
            assert time.monotonic() - began < 2
        # The relay, the look at the job, and at most the rest of those that answer everybody.
        assert web.num_threads() <= threads + 18
        for each in waiting:
            each.settimeout(0)
            with pytest.raises(BlockingIOError):
                each.recv(1)
        began = time.monotonic()
        inst.api.post(f"/api/v2/jobs/{job}/cancel").raise_for_status()
        for each in waiting:
            each.settimeout(10)
            assert b'"status":"cancelled"' in _answer(each)
        assert time.monotonic() - began < 5
    finally:
        for each in waiting:
            each.close()


def test_a_connection_is_good_for_more_requests_after_a_wait(inst: Installation) -> None:
    api, job = inst.api, inst.submit()
    etag = api.get(f"/api/v2/jobs/{job}/status").headers["ETag"]
    for _ in range(3):
        again = api.get(
            f"/api/v2/jobs/{job}/status", params={"wait": "0.2"}, headers={"If-None-Match": etag}
        )
        assert (again.status_code, again.content) == (304, b"")
    assert api.get(f"/api/v2/jobs/{job}/status").json()["job"]["status"] == "pending"


def _hand_out_16_mb(inst: Installation) -> None:
    with _stream(inst, types="job.created") as other:
        next(other)
        rows = [(json.dumps({"n": n, "filling": "x" * 8000}),) for n in range(2000)]
        with _database(inst) as database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany(
                "INSERT INTO jobs_event (kind, public, payload, at)"
                " VALUES ('job.status', 1, ?, '2026-01-01 00:00:00')",
                rows,
            )
            database.execute("COMMIT")
        inst.submit()
        assert next(other)[1]["type"] == "job.created"  # all those before it were handed out


def test_a_program_that_does_not_read_costs_little_and_begins_anew(inst: Installation) -> None:
    """16 MB of events for one that reads nothing: they do not wait in the web process."""
    web = inst.process("web")
    _hand_out_16_mb(inst)  # what this alone takes stays with the process
    slow = _request(inst, "/api/v2/events", receive_bytes=4096)
    eventually(lambda: b"hello" in slow.recv(4096, socket.MSG_PEEK), 10, "hello")
    before = web.memory_info().rss
    _hand_out_16_mb(inst)
    assert web.memory_info().rss - before < 12 * 2**20
    slow.settimeout(20)
    got = b""
    while b"event: reset" not in got:
        got = got[-20:] + slow.recv(65536)
    slow.close()


# --- Plain sockets ------------------------------------------------------------------------------


def _connections(inst: Installation) -> int:
    """Return how many connections the web process has."""
    web = inst.process("web")
    return sum(found.status != "LISTEN" for found in web.net_connections("tcp"))


def _request(inst: Installation, path: str, *, receive_bytes: int = 0) -> socket.socket:
    """Send a GET and return the connection, from which nothing was read yet."""
    connection = socket.socket()
    if receive_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.connect(("127.0.0.1", inst.port))
    auth = inst.api.headers["Authorization"]
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {auth!s}\r\n\r\n".encode()
    )
    return connection


def _answer(connection: socket.socket) -> bytes:
    got = b""
    while b"}}" not in got:
        part = connection.recv(65536)
        assert part, got
        got += part
    return got


@contextlib.contextmanager
def _database(inst: Installation) -> Iterator[Any]:
    """Write what other processes would, on a connection of this one."""
    connection = sqlite.library().connect(
        str(inst.data_dir / "mobilesd.sqlite3"), timeout=20, isolation_level=None
    )
    try:
        yield connection
    finally:
        connection.close()
