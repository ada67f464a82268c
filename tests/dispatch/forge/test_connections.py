"""Kept connections, addresses of all kinds, TLS."""

import datetime
import ipaddress
import ssl
import uuid

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dispatch.dispatchers.base import Address, NeverReached
from dispatch.dispatchers.forge import ForgeDispatcher
from dispatch.dispatchers.forge.client import system_trust
from dispatch.fakes.forge import FakeForge
from tests.dispatch.forge.helpers import answered, http, order

STATE = {"progress": 0, "state": {"job": "", "interrupted": True}}


def test_short_requests_share_one_connection(scripted):
    server = scripted(http(body=STATE), keep=True)
    driver = server.driver()
    for _ in range(5):
        assert driver.was_interrupted()
    assert (len(server.requests), server.connections) == (5, 1)


def test_restarted_server_does_not_look_offline_because_of_an_old_connection(drive):
    forge = drive()
    assert forge.dispatcher.probe().health == "healthy"
    forge.fake.stop()
    with FakeForge(forge.fake.port, seconds=0):
        assert forge.dispatcher.probe().health == "healthy"
        assert forge.dispatcher.progress(uuid.uuid4(), preview=False, task_ids=True) is not None


def test_question_on_a_connection_that_breaks_is_asked_again_once(scripted):
    """As when the server closes it while the question is on its way."""
    drop = lambda connection, request: None  # noqa: E731
    server = scripted(drop, http(body=STATE))
    assert server.driver().was_interrupted()
    assert len(server.requests) == 2
    silent = scripted(drop)
    assert silent.driver().probe().health == "offline"
    assert len(silent.requests) == 2


def test_ipv6_address_is_understood():
    with FakeForge(host="::1", seconds=0) as fake:
        driver = ForgeDispatcher(Address(fake.url))
        assert driver.probe().health == "healthy"
        request = driver.prepare(order(), driver.inventory())
        assert len(driver.run(request, uuid.uuid4()).pictures) == 1


@pytest.mark.parametrize("path", ["/forge", "/forge/", "/a/b"])
def test_prefix_of_an_address_goes_before_every_path(scripted, path):
    nobody = http(404, {"detail": "Not Found"})
    server = scripted(http(body=STATE), http(body={"tasks": []}), nobody, http(body=answered()))
    driver = server.driver(url=server.url + path)
    assert driver.probe().health == "healthy"
    driver.run(driver.prepare(order(), None), uuid.uuid4())
    prefix = path.rstrip("/")
    assert [request.path for request in server.requests] == [
        f"{prefix}/sdapi/v1/progress?skip_current_image=true",
        f"{prefix}/internal/pending-tasks",
        f"{prefix}/mobilesd/v1/hello",
        f"{prefix}/sdapi/v1/txt2img",
    ]


def test_proxy_of_the_environment_is_not_for_servers_at_home(forge, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert forge.dispatcher.probe().health == "healthy"
    assert len(forge.run().pictures) == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Return the file of a key and its self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "forge at home")])
    now = datetime.datetime.now(datetime.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(pem)
    )
    return file


@pytest.fixture
def tls_server(scripted, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return scripted(
        http(body=STATE),
        http(body={"tasks": []}),
        http(body=answered()),
        wrap=lambda connection: context.wrap_socket(connection, server_side=True),
    )


@pytest.fixture(autouse=True)
def fresh_trust():
    system_trust.cache_clear()
    yield
    system_trust.cache_clear()


def test_https_works_with_a_certificate_that_the_system_trusts(
    tls_server, certificate, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    driver = tls_server.driver(url=tls_server.url.replace("http:", "https:"))
    assert driver.probe().health == "healthy"
    assert len(driver.run(driver.prepare(order(), None), uuid.uuid4()).pictures) == 1


def test_https_refuses_a_certificate_that_nobody_vouches_for(tls_server):
    driver = tls_server.driver(url=tls_server.url.replace("http:", "https:"))
    probe = driver.probe()
    assert probe.health == "offline"
    assert probe.text == "The server's certificate is not trusted."
    with pytest.raises(NeverReached, match="CERTIFICATE_VERIFY_FAILED"):
        driver.run(driver.prepare(order(), None), uuid.uuid4())
    assert tls_server.requests == []
