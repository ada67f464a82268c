"""One POST, over real sockets: what arrives, where it may go, and what a hostile server can do."""

import gzip
import http.client
import socket
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest

from jobs.webhooks import sending
from jobs.webhooks.addresses import IpAddress
from jobs.webhooks.sending import Outcome, post
from tests.webhooks.receiver import Receiver, certificate, raw_server

BODY = '{"text": "ä lighthouse"}'.encode()


def send(url: str, *, allow_local: bool = True, **options) -> Outcome:
    headers = {"Content-Type": "application/json", "X-MobileSD-Event": "job.status"}
    return post(url, headers, BODY, allow_local=allow_local, **options)


def names(*answers: Sequence[str]) -> Callable[[str, int], list[IpAddress]]:
    """Return a resolver that gives one of these answers after the other."""
    left = list(answers)
    return lambda host, port: [ip_address(text) for text in left.pop(0)]


@pytest.fixture
def receiver():
    with Receiver() as serving:
        yield serving


def test_a_post_arrives_as_it_was_sent(receiver):
    outcome = send(f"{receiver.url}?a=b%20c")
    assert (outcome.delivered, outcome.status, outcome.error) == (True, 204, "")
    assert 0 < outcome.milliseconds < 5000
    (got,) = receiver.got
    assert got.path == "/hook?a=b%20c"
    assert got.body == BODY
    assert got.headers["Host"] == f"127.0.0.1:{receiver.port}"
    assert got.headers["X-MobileSD-Event"] == "job.status"
    assert "chunked" not in str(got.headers)


@pytest.mark.parametrize(
    ("status", "delivered"), [(200, True), (299, True), (400, False), (500, False)]
)
def test_only_2xx_is_taken_for_delivered(receiver, status, delivered):
    receiver.answer = lambda _: status
    outcome = send(receiver.url)
    assert (outcome.status, outcome.delivered) == (status, delivered)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver, monkeypatch, status):
    reached = []
    connect = sending._connect
    monkeypatch.setattr(
        sending, "_connect", lambda hosts, *rest: (reached.append(hosts), connect(hosts, *rest))[1]
    )
    receiver.answer = lambda _: status
    outcome = send(receiver.url)
    assert not outcome.delivered
    assert outcome.status == status
    assert "Redirects are not followed" in outcome.error
    assert reached == [[ip_address("127.0.0.1")]]


def test_the_name_stays_the_host_and_is_looked_up_once(receiver):
    """DNS rebinding: the second answer would be another address, but nobody asks again."""
    resolver = names(["127.0.0.1"], ["169.254.169.254"])
    outcome = send(f"http://hooks.example:{receiver.port}/x", resolver=resolver)
    assert outcome.delivered
    assert receiver.got[0].headers["Host"] == f"hooks.example:{receiver.port}"


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["8.8.8.8", "127.0.0.1"],
        ["::1"],
        ["::ffff:169.254.169.254"],
        ["64:ff9b::7f00:1"],
    ],
)
def test_a_name_with_one_forbidden_address_is_not_connected_to(monkeypatch, answer):
    monkeypatch.setattr(sending, "_connect", lambda *_: pytest.fail("it connected"))
    outcome = send("http://hooks.example/x", allow_local=False, resolver=names(answer))
    assert outcome.status is None
    assert "Nothing was sent" in outcome.error


def test_the_forbidden_address_itself_gets_nothing(receiver):
    assert not send(receiver.url, allow_local=False).delivered
    assert receiver.got == []


def test_the_next_address_is_tried_when_the_first_is_dead(receiver):
    resolver = names(["127.0.0.2", "127.0.0.1"])
    assert send(f"http://hooks.example:{receiver.port}/x", resolver=resolver).delivered


def test_proxies_of_the_environment_are_not_used(receiver, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert send(receiver.url).delivered


# --- TLS ---------------------------------------------------------------------------------------


def test_tls_is_verified_for_the_name_and_connected_to_the_address(tmp_path, monkeypatch):
    server, trusted = certificate(tmp_path, "hooks.example")
    asked = []
    server.sni_callback = lambda _sock, name, _context: asked.append(name)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    with Receiver(tls=server) as receiver:
        url = f"https://hooks.example:{receiver.port}/x"
        outcome = send(url, resolver=names(["127.0.0.1"]))
    assert outcome.delivered, outcome.error
    assert asked == ["hooks.example"]
    assert receiver.got[0].headers["Host"] == f"hooks.example:{receiver.port}"


def test_a_certificate_for_an_address_is_verified_as_well(tmp_path, monkeypatch):
    server, trusted = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    with Receiver(tls=server) as receiver:
        assert send(receiver.url).delivered


def test_a_certificate_that_nobody_trusts_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    server, _ = certificate(tmp_path, "hooks.example")
    with Receiver(tls=server) as receiver:
        url = f"https://hooks.example:{receiver.port}/x"
        outcome = send(url, resolver=names(["127.0.0.1"]))
        assert not outcome.delivered
        assert "certificate" in outcome.error
        assert receiver.got == []


def test_a_certificate_for_another_name_is_refused(tmp_path, monkeypatch):
    server, trusted = certificate(tmp_path, "other.example")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    with Receiver(tls=server) as receiver:
        url = f"https://hooks.example:{receiver.port}/x"
        outcome = send(url, resolver=names(["127.0.0.1"]))
        assert "certificate" in outcome.error
        assert receiver.got == []


# --- Servers that are dead or hostile ----------------------------------------


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_nobody_there_is_told_in_words():
    outcome = send(f"http://127.0.0.1:{closed_port()}/")
    assert outcome.status is None
    assert "refused" in outcome.error


def test_a_name_that_nobody_knows_is_told_in_words():
    def unknown(host: str, port: int) -> list[IpAddress]:
        raise socket.gaierror(-2, "Name or service not known")

    assert "name" in send("http://hooks.example/", resolver=unknown).error


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        time.sleep(0.02)
        connection.sendall(b"X-Slow: 1\r\n")


def silent(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def again_and_again(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


@pytest.mark.parametrize("talk", [silent, again_and_again])
def test_a_server_that_never_answers_holds_nobody_longer_than_the_deadline(talk):
    with raw_server(talk) as url:
        begin = time.monotonic()
        outcome = send(url, seconds=0.5)
        assert time.monotonic() - begin < 3
    assert not outcome.delivered
    assert outcome.error == "It did not answer within 0.5 seconds."


def test_headers_that_drip_in_end_at_the_deadline(monkeypatch):
    monkeypatch.setattr(http.client, "_MAXHEADERS", 10**6)  # only the time may end it
    with raw_server(drip) as url:
        begin = time.monotonic()
        outcome = send(url, seconds=0.5)
        assert time.monotonic() - begin < 3
    assert outcome.error == "It did not answer within 0.5 seconds."


def test_a_tls_handshake_that_never_ends_is_given_up():
    with raw_server(silent) as url:
        begin = time.monotonic()
        outcome = send(url.replace("http:", "https:"), seconds=0.5)
        assert time.monotonic() - begin < 3
    assert outcome.error == "It did not answer within 0.5 seconds."


def test_an_endless_body_is_not_read_to_its_end():
    sent = []

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            sent.append(connection.send(b"x" * 65536))

    with raw_server(talk) as url:
        begin = time.monotonic()
        outcome = send(url)
        assert time.monotonic() - begin < 3
    assert outcome.delivered
    assert sum(sent) < 16 * 2**20  # what the buffers of two sockets take


def test_a_body_that_drips_in_is_left_at_the_deadline():
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            time.sleep(0.02)
            connection.sendall(b"x")

    with raw_server(talk) as url:
        begin = time.monotonic()
        outcome = send(url, seconds=0.5)
        assert time.monotonic() - begin < 3
    assert outcome.delivered
    assert outcome.milliseconds < 400


def test_a_gzip_bomb_is_not_unpacked():
    import tracemalloc

    bomb = gzip.compress(b"\0" * 50_000_000)

    def talk(connection: socket.socket) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
        connection.sendall(head.encode() + bomb)

    with raw_server(talk) as url:
        tracemalloc.start()
        outcome = send(url)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert outcome.delivered
    assert peak < 5_000_000


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"\x16\x03\x01\x02",
    ],
)
def test_nonsense_is_a_failure_with_a_sentence_of_our_own(answer):
    with raw_server(lambda connection: connection.sendall(answer)) as url:
        outcome = send(url)
    assert outcome.status is None
    assert outcome.error == "It closed the connection or did not answer with HTTP."


def test_nothing_that_the_server_writes_is_kept():
    answer = b"HTTP/1.1 500 s3cret-reason\r\nX-S: s3cret\r\nContent-Length: 6\r\n\r\ns3cret"
    with raw_server(lambda connection: connection.sendall(answer)) as url:
        outcome = send(url)
    assert outcome.error == "It answered 500 Internal Server Error."


def test_a_missing_file_of_authorities_is_a_failure_and_no_crash(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    with raw_server(silent) as url:
        outcome = send(url.replace("http:", "https:"), seconds=2)
    assert outcome.status is None
    assert outcome.error
