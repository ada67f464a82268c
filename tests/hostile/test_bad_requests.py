"""Nonsense over real sockets: each time an answer in the form of all errors, and soon."""

import gzip
import json
import re
import threading
import time

import psutil
import pytest

from tests.hostile.conftest import Answer, Wire, accesses, read_all
from tests.processes.installation import Installation, eventually

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

BOMB = gzip.compress(b"[" * 20_000_000, 1)
JOB = "/api/v2/jobs/01234567-89ab-cdef-0123-456789abcdef/status"


def params(text: str) -> bytes:
    return f'{{"generation_params": {{"positive_prompt": "a cat", {text}}}}}'.encode()


BODIES = {
    "nested arrays": params(f'"x": {"[" * 100_000}{"]" * 100_000}'),
    "unclosed arrays": b"[" * 1_000_000,
    "nested objects": params(f'"x": {"{" + chr(34) + "a" + chr(34) + ":"}' * 1) + b"{" * 50_000,
    "a name twice": params('"seed": 1, "seed": 2'),
    "half a surrogate pair": params(r'"negative_prompt": "\ud800"'),
    "bytes of a surrogate": params('"negative_prompt": "X"').replace(b"X", b"\xed\xa0\x80"),
    "no UTF-8": params('"negative_prompt": "X"').replace(b"X", b"\xff\xfe"),
    "NUL": params(r'"negative_prompt": "\u0000"'),
    "NaN": params('"cfg_scale": NaN'),
    "Infinity": params('"cfg_scale": Infinity'),
    "-Infinity": params('"cfg_scale": -Infinity'),
    "a number beyond all": params('"cfg_scale": 1e999'),
    "10,000 digits": params(f'"seed": {"9" * 10_000}'),
    "no object": b'"generate"',
    "nothing": b" ",
}


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_refused_and_named(wire: Wire, name: str) -> None:
    answer = wire.post(BODIES[name])
    assert (answer.status, answer.error) == (400, "invalid_json")
    assert answer.headers["x-ratelimit-limit"] == "120"


def test_an_int_of_4000_digits_is_a_bad_field(wire: Wire) -> None:
    answer = wire.post(params(f'"seed": {"9" * 4_000}'))
    assert (answer.status, answer.error) == (400, "invalid_field_value")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "x"])
def test_a_packed_body_is_never_unpacked(wire: Wire, encoding: str) -> None:
    bomb = BOMB
    began = time.monotonic()
    answer = wire.post(bomb, Content_Encoding=encoding)
    assert (answer.status, answer.error) == (415, "unsupported_media_type")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "path",
    [
        "/api/v2/jobs?limit=-1",
        "/api/v2/jobs?limit=0",
        "/api/v2/jobs?limit=" + "9" * 5000,
        "/api/v2/jobs?offset=-1",
        "/api/v2/jobs?cursor=made-up",
        "/api/v2/jobs?cursor=" + "A" * 4000,
        "/api/v2/jobs?cursor=%00",
        "/api/v2/jobs?created_after=9999999-01-01T00:00:00Z",
        "/api/v2/jobs?order=sideways",
    ],
)
def test_a_made_up_parameter_is_refused(wire: Wire, path: str) -> None:
    answer = wire.request("GET", path)
    assert (answer.status, answer.error) == (400, "invalid_field_value")


@pytest.mark.parametrize(
    "job_id", ["1", "null", "..%2f..%2fetc", "%00", "x" * 3000, "é".encode().hex()]
)
def test_an_id_that_is_no_uuid_is_not_found(wire: Wire, job_id: str) -> None:
    answer = wire.request("GET", f"/api/v2/jobs/{job_id}/status")
    assert (answer.status, answer.error) == (404, "not_found")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X_HTTP_Method_Override", "DELETE"),
        ("X_Method_Override", "DELETE"),
        ("X_HTTP_Method", "PUT"),
    ],
)
def test_a_method_cant_be_overridden_by_a_header(wire: Wire, header: str, value: str) -> None:
    answer = wire.request("GET", JOB, **{header: value})
    assert (answer.status, answer.error) == (404, "job_not_found")


def test_a_method_cant_be_overridden_by_a_form_or_a_query(wire: Wire) -> None:
    form = "application/x-www-form-urlencoded"
    answer = wire.post(b"_method=DELETE&generation_params=x", Content_Type=form)
    assert (answer.status, answer.error) == (415, "unsupported_media_type")
    answer = wire.request("GET", f"{JOB}?_method=DELETE")
    assert (answer.status, answer.error) == (404, "job_not_found")


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "X" * 60])
def test_a_method_that_there_is_not_is_not_allowed(wire: Wire, method: str) -> None:
    answer = wire.request(method, "/api/v2/jobs")
    assert (answer.status, answer.error) == (405, "method_not_allowed")


MALFORMED = {
    "no request line": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "600 headers": b"GET /status HTTP/1.1\r\nHost: localhost\r\n"
    + b"".join(b"X-%d: 1\r\n" % n for n in range(600))
    + b"\r\n",
    "a header of 20 kB": b"GET /status HTTP/1.1\r\nHost: localhost\r\nX: "
    + b"x" * 20_000
    + b"\r\n\r\n",
    "a header without an end": b"GET /status HTTP/1.1\r\nX: " + b"x" * 100_000,
    "a path of 20 kB": b"GET /api/" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a length of 10,000 digits": b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: "
    + b"9" * 10_000
    + b"\r\n\r\n",
    "a negative length": b"POST /api/v2/generate HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "length and chunks": b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n",
    "a chunk of no size": b"POST /x HTTP/1.1\r\nHost: h\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a header without a colon": b"GET /status HTTP/1.1\r\nHost localhost\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_http_is_answered_all_the_same(wire: Wire, name: str) -> None:
    began = time.monotonic()
    answer = wire.send(MALFORMED[name])
    assert (answer.status, answer.error) == (400, "invalid_field_value")
    assert answer.headers["connection"] == "close"
    assert time.monotonic() - began < 2


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(wire: Wire) -> None:
    head = b"POST /api/v2/generate HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n"
    answer = wire.send(head + b"Expect: 100-continue\r\n\r\n")
    assert (answer.status, answer.error) == (413, "payload_too_large")


def _too_large(*headers: str) -> bytes:
    lines = ["POST /api/v2/generate HTTP/1.1", "Host: h", "Content-Length: 99999999999", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def test_a_key_is_told_its_limit_with_a_413_and_the_log_names_it(
    web: Installation, wire: Wire
) -> None:
    token = web.create_key("--rate", "3/m")
    prefix = token.partition(".")[0]
    answer = wire.send(_too_large(f"Authorization: Api-Key {token}", "User-Agent: big"))
    assert (answer.status, answer.error) == (413, "payload_too_large")
    assert answer.headers["x-ratelimit-limit"] == "3"
    assert answer.headers["x-ratelimit-remaining"] == "2"
    assert 1 <= int(answer.headers["x-ratelimit-reset"]) <= 60
    assert answer.headers["connection"] == "close"
    pair = f"X-API-Key: {prefix}", f"X-API-Secret: {token.partition('.')[2]}"
    assert wire.send(_too_large(*pair)).status == 413
    assert wire.send(_too_large(*pair)).headers["x-ratelimit-remaining"] == "0"
    answer = wire.send(_too_large(*pair))
    assert (answer.status, answer.error) == (429, "rate_limited")
    assert int(answer.headers["retry-after"]) >= 1
    logged = lambda: accesses(web, key_prefix=prefix, status=413) == 3  # noqa: E731
    eventually(logged, 10, "the lines of the refusals")
    line = {"key_prefix": prefix, "user_agent": "big", "route": "api/v2/generate"}
    assert accesses(web, **line, error="payload_too_large", method="POST") == 1


def test_a_key_that_is_none_is_told_so_first(web: Installation, wire: Wire) -> None:
    answer = wire.send(_too_large("Authorization: Api-Key nobody00.secret"))
    assert (answer.status, answer.error) == (401, "invalid_api_key")
    assert "x-ratelimit-limit" not in answer.headers
    logged = lambda: accesses(web, key_prefix="nobody00", status=401) == 1  # noqa: E731
    eventually(logged, 10, "the line of the refusal")


def test_without_a_key_the_log_still_tells_what_was_asked_and_by_what(
    web: Installation, wire: Wire
) -> None:
    assert wire.send(_too_large("User-Agent: nobody-big")).status == 413
    line = {"user_agent": "nobody-big", "route": "api/v2/generate", "method": "POST"}
    logged = lambda: accesses(web, **line, status=413, key_prefix="", address="127.0.0.1")  # noqa: E731
    assert eventually(logged, 10, "the line of the refusal") == 1


def test_a_route_in_the_log_is_never_the_address_itself(web: Installation, wire: Wire) -> None:
    head = (
        b"POST /first-run/not-for-the-log?q=nor-this HTTP/1.1\r\nHost: localhost\r\n"
        b"User-Agent: nobody-first\r\nContent-Length: 99999999999\r\n\r\n"
    )
    assert wire.send(head).status == 413
    line = {"user_agent": "nobody-first", "route": "first-run/<str:token>"}
    eventually(lambda: accesses(web, **line) == 1, 10, "the line of the refusal")
    nowhere = head.replace(b"/first-run/not", b"/nowhere/not").replace(b"-first", b"-nowhere")
    assert wire.send(nowhere).status == 413
    line = {"user_agent": "nobody-nowhere", "route": ""}
    eventually(lambda: accesses(web, **line) == 1, 10, "the line of the refusal")


def test_a_client_that_goes_on_sending_still_reads_why(wire: Wire) -> None:
    head = b"POST /api/v2/generate HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n"
    answer = wire.send(head + b"x" * 5_000_000)
    assert (answer.status, answer.error) == (413, "payload_too_large")


def test_chunks_without_end_are_refused_at_the_limit(wire: Wire) -> None:
    chunk = b"100000\r\n" + b"[" * 0x100000 + b"\r\n"
    with wire.connect() as connection:
        connection.sendall(b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(70):
            connection.sendall(chunk)
        answer = Answer(read_all(connection))
    assert (answer.status, answer.error) == (413, "payload_too_large")


def test_64_mb_of_nested_arrays_cost_bounded_memory_and_time(
    wire: Wire, process: psutil.Process
) -> None:
    body = b"[" * (64 * 2**20)
    wire.post(b"{}")
    before = process.memory_info().rss
    peak, done = [before], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        began = time.monotonic()
        answers: list[Answer] = []
        senders = [threading.Thread(target=lambda: answers.append(wire.post(body))) for _ in "ab"]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        seconds = time.monotonic() - began
    finally:
        done.set()
        watcher.join()
    assert [(answer.status, answer.error) for answer in answers] == [(400, "invalid_json")] * 2
    assert seconds < 20
    assert peak[0] - before < 600 * 2**20


def test_many_pipelined_requests_are_answered_one_after_the_other(wire: Wire) -> None:
    one = b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with wire.connect() as connection:
        sender = threading.Thread(target=connection.sendall, args=(one * 499 + last,))
        sender.start()
        raw = read_all(connection)
        sender.join()
    assert len(re.findall(rb"HTTP/1\.1 200 OK\r\n", raw)) == 500


@pytest.mark.timeout(500)  # ten thousand requests, maybe beside other tests
def test_guessed_keys_are_refused_slowed_down_and_logged(
    web: Installation, wire: Wire, process: psutil.Process
) -> None:
    guesses, clients = 10_000, 8
    before = process.memory_info().rss
    counts: dict[int, int] = {}
    lock = threading.Lock()

    def guess(first: int) -> None:
        with wire.connect() as connection:
            found: dict[int, int] = {}
            for number in range(first, guesses, clients):
                connection.sendall(
                    b"GET /api/v2/jobs HTTP/1.1\r\nHost: localhost\r\n"
                    b"Authorization: Api-Key guess%05d.%032d\r\n\r\n" % (number, number)
                )
                status = _one_status(connection)
                found[status] = found.get(status, 0) + 1
        with lock:
            for status, count in found.items():
                counts[status] = counts.get(status, 0) + count

    began = time.monotonic()
    threads = [threading.Thread(target=guess, args=(first,)) for first in range(clients)]
    for thread in threads:
        thread.start()
    # The owner's key works from the same address all the while.
    own = [wire.request("GET", "/api/v2/jobs").status for _ in range(5)]
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - began

    assert own == [200] * 5
    assert set(counts) == {401, 429}
    assert sum(counts.values()) == guesses
    assert counts[401] <= 60 * (seconds // 60 + 2)
    assert process.memory_info().rss - before < 60 * 2**20

    def logged() -> bool:
        return (
            accesses(web, status=401, key_prefix__startswith="guess") == counts[401]
            and accesses(web, status=429) >= counts[429]
        )

    eventually(logged, 15, "the lines of the guesses")


def _one_status(connection: "object") -> int:
    """Read one answer of a connection that stays open."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += connection.recv(65536)  # type: ignore[attr-defined]
    head, _, body = raw.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]
    while len(body) < length:
        body += connection.recv(65536)  # type: ignore[attr-defined]
    assert json.loads(body)["success"] is False
    return int(head.split(b" ")[1])
