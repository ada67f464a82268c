"""Where a request comes from: proxies are believed only as far as they are trusted."""

from ipaddress import ip_network

import pytest
from django.test import RequestFactory

from mobilesd.http.addresses import client_address


def _address(remote: str, forwarded: str | None = None) -> str:
    extra = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
    return client_address(RequestFactory().get("/", REMOTE_ADDR=remote, **extra))


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("192.168.1.7", "192.168.1.7"),
        ("2001:DB8::0001", "2001:db8::1"),
        ("::ffff:192.168.1.7", "192.168.1.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("", ""),
        ("unix:", ""),
    ],
)
def test_an_address_has_one_form(remote, address):
    assert _address(remote) == address


def test_without_trusted_proxies_the_header_is_ignored():
    assert _address("192.168.1.7", "10.0.0.1") == "192.168.1.7"


@pytest.mark.parametrize(
    ("remote", "forwarded", "address"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        # The client wrote the first one itself.
        ("10.0.0.1", "127.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.1", "10.0.0.3", "10.0.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
        ("192.168.1.7", "203.0.113.9", "192.168.1.7"),
        ("10.0.0.1", "1.2.3.4," * 100_000 + "203.0.113.9", "203.0.113.9"),
    ],
)
def test_trusted_proxies_name_the_client(settings, remote, forwarded, address):
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
    assert _address(remote, forwarded) == address
