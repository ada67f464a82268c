"""Each thing that can go wrong has a sentence that names it, and says what to do."""

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from mobilesd_forge import client as client_module
from mobilesd_forge import transport
from mobilesd_forge.client import SCOPES, Client
from mobilesd_forge.faults import Fault
from mobilesd_forge.transport import proxies_for

from mobilesd.supervisor.network import free_port
from tests.extension_forge.core.conftest import KEY
from tests.extension_forge.core.scripted import Reply, Scripted, problem

WHO = {
    "success": True,
    "name": "forge",
    "scopes": list(SCOPES),
    "server_version": "0.1.0",
    "minimum_extension_version": "0.1.0",
}


def fault_of(client: Client) -> Fault:
    with pytest.raises(Fault) as raised:
        client.check()
    return raised.value


def test_a_key_that_may_do_all_is_right(client: Client, server: Scripted) -> None:
    server.answer = lambda asked: Reply(json=WHO)
    assert client.check().name == "forge"
    assert server.asked[0].headers["user-agent"] == "mobilesd-forge-extension/1.0.0"


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (problem(401, "authentication_required"), "asks for an API key. Enter one"),
        (problem(401, "invalid_api_key"), "does not know this API key"),
        (problem(401, "api_key_expired"), "has expired. Make a new one"),
        (problem(401, "api_key_revoked"), "was revoked. Make a new one"),
        (problem(403, "ip_not_allowed"), "may not be used from this machine"),
        (problem(403, "app_type_not_allowed"), "may not send jobs for Forge"),
        (problem(403, "scope_missing", scope="jobs:write"), "lacks the permission jobs:write"),
        (problem(404, "not_found"), "too old for this extension. Update it"),
        (
            problem(426, "extension_too_old", minimum_version="2.0.0"),
            "This extension (1.0.0) is too old for that MobileSD. It needs at least 2.0.0.",
        ),
        (problem(503, "submissions_closed"), "takes no jobs now"),
        (problem(429, "rate_limited", headers={"Retry-After": "7"}), "asked again in 7 s"),
        (problem(500, "internal_error", message="A fault.", hint="Look."), "A fault. Look."),
        (Reply(404, body=b"<h1>nginx</h1>"), "is not MobileSD. Check address and port"),
        (Reply(200, body=b"<h1>hello</h1>"), "is not MobileSD. Check address and port"),
        (Reply(200, json=[1]), "is not MobileSD. Check address and port"),
        (Reply(200, json={"detail": "ok"}), "is not MobileSD. Check address and port"),
        (Reply(502, body=b"Bad gateway"), "MobileSD behind it does not (502)"),
        (Reply(401, body=b"who?"), "asks who you are, before MobileSD"),
        (Reply(413, body=b"too large"), "takes no pictures so large"),
        (Reply(302, headers={"Location": "https://box/"}), "leads on to https://box. Enter that"),
        (Reply(302, headers={"Location": "/login"}), "is not MobileSD"),
        (Reply(hang_up=True), "broke off"),
    ],
)
def test_an_answer_has_its_sentence(
    client: Client, server: Scripted, reply: Reply, says: str
) -> None:
    server.answer = lambda asked: reply
    assert says in fault_of(client).text


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"minimum_extension_version": "1.0.1"}, "This extension (1.0.0) is too old"),
        ({"server_version": "0.0.9"}, "That MobileSD (0.0.9) is too old"),
        ({"scopes": ["jobs:read"]}, "lacks the permissions jobs:write, servers:read, images:read"),
    ],
)
def test_what_whoami_tells_is_looked_at(
    client: Client, server: Scripted, wrong: dict[str, Any], says: str
) -> None:
    server.answer = lambda asked: Reply(json={**WHO, **wrong})
    assert says in fault_of(client).text


def test_a_refusal_names_the_fields(client: Client, server: Scripted) -> None:
    fields = {"generation_params.width": ["must be a multiple of 8."]}
    server.answer = lambda asked: problem(
        400, "invalid_field_value", message="One is wrong.", hint="Mend it.", fields=fields
    )
    with pytest.raises(Fault) as raised:
        client.submit(b'{"a": 1}', bulk=False)
    assert raised.value.refused
    said = "One is wrong. (generation_params.width: must be a multiple of 8.) Mend it."
    assert raised.value.text == said


@pytest.mark.parametrize("status", [401, 403, 408, 426, 429, 500, 502, 503])
def test_what_may_pass_is_no_refusal(client: Client, server: Scripted, status: int) -> None:
    server.answer = lambda asked: problem(status, "some_error")
    with pytest.raises(Fault) as raised:
        client.submit(b'{"a": 1}', bulk=False)
    assert not raised.value.refused


def test_hostile_texts_are_cut_and_made_plain(client: Client, server: Scripted) -> None:
    server.answer = lambda asked: problem(400, "x", message="a\x1b[31m\n\u202eb" + "c" * 9999)
    text = fault_of(client).text
    assert len(text) <= 500
    assert text.startswith("a[31m b")


def test_an_answer_without_an_end_is_left(client: Client, server: Scripted) -> None:
    server.answer = lambda asked: Reply(body=b"x" * (transport.MAX_JSON_BYTES + 1))
    assert "more than is sensible" in fault_of(client).text


# --- No answer -------------------------------------------------------------------------------


def test_nobody_listens() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert f"Nothing answers at {url}. Start MobileSD" in fault_of(Client(url, KEY, "i")).text


def test_a_name_that_nobody_has() -> None:
    fault = fault_of(Client("http://no-such-machine.invalid", KEY, "i"))
    assert "No machine of the name no-such-machine.invalid was found" in fault.text


def test_a_server_that_takes_too_long(client: Client, server: Scripted) -> None:
    def late(_: Any) -> Reply:
        server.free.wait(10)
        return Reply(json=WHO)

    server.answer = late
    with pytest.raises(Fault) as raised:
        client.whoami(seconds=0.2)
    assert "did not answer in time" in raised.value.text


HEAD = b"HTTP/1.1 200 OK\r\n"
DRIPS = {
    "a body of a known length": (HEAD + b"Content-Length: 100000\r\n\r\n", b" "),
    "a body without a length": (HEAD + b"\r\n", b" "),
    "a body in pieces": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "headers": (HEAD, b"X: y\r\n"),
    "a status": (b"HTTP/1.1 200 ", b"O"),
}


@pytest.mark.parametrize(("head", "drop"), DRIPS.values(), ids=DRIPS)
def test_an_answer_that_drips_is_left(head: bytes, drop: bytes) -> None:
    """Each piece comes within its time-out; all of them would take for ever."""
    with _dripping(head, drop) as url, pytest.raises(Fault) as raised:
        Client(url, KEY, "i").whoami(seconds=0.1)
    assert "did not answer in time" in raised.value.text


def test_a_tls_handshake_that_drips_is_left() -> None:
    record = b"\x16\x03\x03\x40\x00"  # says that 16 kB of a handshake follow
    with _dripping(record, b"\x02") as url, pytest.raises(Fault) as raised:
        Client(url.replace("http", "https"), KEY, "i").whoami(seconds=0.1)
    assert "did not answer in time" in raised.value.text


def test_a_stream_outlives_the_time_that_an_answer_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SILENCE_SECONDS", 0.1)
    head = HEAD + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    with (
        _dripping(head, b"9\r\n: alive\n\n\r\n") as url,
        Client(url, KEY, "i").events("", ()) as told,
    ):
        for _ in range(40):  # twice as long
            assert next(told) is None


@contextmanager
def _dripping(head: bytes, drop: bytes) -> Iterator[str]:
    """Answer with a head, and then with a drop each 20 ms until the other side hangs up."""
    with _listening() as (listener, url):
        ended = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(head)
                while not ended.wait(0.02):
                    connection.sendall(drop)

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield url
        finally:
            ended.set()
            thread.join()


@contextmanager
def _listening() -> Iterator[tuple[socket.socket, str]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


# --- TLS -------------------------------------------------------------------------------------


def certificate(folder: Path, *, name: str, days: int) -> tuple[Path, Path]:
    """Make a self-signed certificate; return its file and its key's."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=90))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(private, hashes.SHA256())
    )
    chain, key = folder / "certificate.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return chain, key


@pytest.mark.parametrize(
    ("name", "days", "trusted", "says"),
    [
        ("localhost", 9, False, "is signed by nobody whom this machine trusts"),
        ("localhost", -9, True, "has expired. Renew it"),
        ("other.example", 9, True, "is for another name"),
    ],
)
def test_a_certificate_has_its_fault_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    days: int,
    trusted: bool,
    says: str,
) -> None:
    chain, key = certificate(tmp_path, name=name, days=days)
    if trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(chain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    with _listening() as (listener, url):
        thread = threading.Thread(target=lambda: _shake_hands(listener, context))
        thread.start()
        fault = fault_of(Client(url.replace("http://127.0.0.1", "https://localhost"), KEY, "i"))
        thread.join()
    assert fault.code == "tls"
    assert says in fault.text


def _shake_hands(listener: socket.socket, context: ssl.SSLContext) -> None:
    connection, _ = listener.accept()
    try:
        context.wrap_socket(connection, server_side=True).close()
    except OSError:
        connection.close()


def test_https_where_there_is_only_http(server: Scripted) -> None:
    fault = fault_of(Client(server.url.replace("http:", "https:"), KEY, "i"))
    assert "does not speak https. Try the address with http://" in fault.text


# --- Proxies ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "asks_proxy"),
    [
        ("http://127.0.0.1:8000", False),
        ("http://192.168.1.20:8000", False),
        ("http://[fe80::1]:8000", False),
        ("http://box:8000", False),
        ("http://box.local", False),
        ("http://box.fritz.box", False),
        ("http://sd.example.com", True),
        ("http://8.8.8.8", True),
    ],
)
def test_a_proxy_is_asked_for_the_internet_only(
    monkeypatch: pytest.MonkeyPatch, url: str, asks_proxy: bool
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert bool(proxies_for(url)) is asks_proxy


def test_a_large_order_is_not_sent_within_one_time_out(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket's time-out is that of a whole `sendall`: a slow network needs many small ones."""
    monkeypatch.setattr(transport, "CONNECT_SECONDS", 0.4)
    body = b'{"a": "' + b"x" * 16_000_000 + b'"}'
    with _listening() as (listener, url):
        received = bytearray()

        def slowly() -> None:
            connection, _ = listener.accept()
            with connection:
                while len(received) < len(body):
                    if not (piece := connection.recv(400_000)):
                        return  # it was given up
                    received.extend(piece)
                    ended.wait(0.05)
                connection.sendall(
                    b"HTTP/1.1 202 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
                )

        ended = threading.Event()
        thread = threading.Thread(target=slowly)
        thread.start()
        Client(url, KEY, "i").submit(body, bulk=False)
        thread.join()


def test_a_picture_at_another_address_is_not_asked_for(client: Client, server: Scripted) -> None:
    for path in ("http://evil/x.png", "//evil/x.png", "x.png"):
        with pytest.raises(Fault, match="another address"):
            client.picture(path)
    assert not server.asked


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", ""])
def test_what_is_no_picture_is_not_handed_on(client: Client, server: Scripted, kind: str) -> None:
    server.answer = lambda asked: Reply(body=b"<script>", headers={"Content-Type": kind})
    with pytest.raises(Fault, match="no picture"):
        client.picture("/api/v2/images/1/thumbnail")


def test_an_order_of_another_version_is_known_by_its_conflict(
    client: Client, server: Scripted
) -> None:
    server.answer = lambda asked: problem(409, "idempotency_conflict")
    client.submit(b'{"a": 1}', bulk=False)  # no fault
    server.answer = lambda asked: problem(409, "already_exists")
    with pytest.raises(Fault):
        client.submit(b'{"a": 1}', bulk=False)


def test_an_order_says_who_sends_it(client: Client, server: Scripted) -> None:
    server.answer = lambda asked: Reply(202, json={})
    client.submit(b'{"a": 1}', bulk=True)
    assert server.asked[0].path == "/api/v2/generate/bulk"
    assert server.asked[0].json == {"a": 1, "source_info": "forge-extension/1.0.0 0123456789ab"}


def test_jobs_are_asked_by_source_whatever_their_version(client: Client, server: Scripted) -> None:
    server.answer = lambda asked: Reply(json={"filters": {"source": "x"}, "jobs": [{"a": 1}, 5]})
    assert client.jobs().rows == [{"a": 1}]
    assert [asked.path for asked in server.asked] == [
        "/api/v2/jobs?source=forge-extension%2F1.0.0+0123456789ab&limit=50"
    ]


def test_a_mobilesd_without_that_filter_is_asked_for_this_version(
    client: Client, server: Scripted
) -> None:
    server.answer = lambda asked: Reply(json={"filters": {}, "jobs": []})
    client.jobs()
    assert [asked.path.partition("?")[2].partition("=")[0] for asked in server.asked] == [
        "source",
        "source_info",
    ]
