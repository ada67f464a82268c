"""Where webhooks may go: every way to write an address that people have tried elsewhere."""

import socket
from ipaddress import ip_address

import pytest

from jobs.webhooks import addresses
from jobs.webhooks.addresses import checked_url, refusal, resolve, target_of
from mobilesd.errors import InvalidInput


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://example.com/hook", "https://example.com/hook"),
        ("  HTTPS://EXAMPLE.com/Hook?A=b ", "https://example.com/Hook?A=b"),
        ("http://example.com", "http://example.com/"),
        ("http://example.com.:8080/x", "http://example.com:8080/x"),
        ("http://192.168.1.20:5000/x", "http://192.168.1.20:5000/x"),
        ("http://[FD00::0:1]/x", "http://[fd00::1]/x"),
        ("http://nas:5000/x", "http://nas:5000/x"),
        ("https://bücher.example/ä?ö=ü", "https://xn--bcher-kva.example/%C3%A4?%C3%B6=%C3%BC"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("http://8.8.8.8./", "http://8.8.8.8/"),
        ("http://my_nas.lan/", "http://my_nas.lan/"),
    ],
)
def test_addresses_of_the_internet_and_the_lan_are_taken_in_one_form(given, kept):
    url = checked_url(given, allow_local=False)
    assert url == kept
    assert checked_url(url, allow_local=False) == url


@pytest.mark.parametrize(
    "given",
    [
        "",
        "example.com/hook",
        "//example.com/hook",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http:///path",
        "http://",
        "http://user:password@example.com/",
        "http://user@example.com/",
        "http://@example.com/",
        "http://example.com/#part",
        "http://example.com/#",
        "http://exa mple.com/",
        "http://example.com/a b",
        "http://example.com\\@127.0.0.1/",
        "http://example.com/\r\nHost: x",
        "http://example.com/\x00",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com:abc/",
        "http://a..b/",
        "http://-a.example/",
        f"http://{'a' * 64}.example/",
        f"http://{'a.' * 130}example/",
        "http://example.com/" + "a" * 1000,
        "http://example.com/" + "ä" * 400,
    ],
)
def test_what_is_no_address_is_refused(given):
    with pytest.raises(InvalidInput) as refused:
        checked_url(given, allow_local=False)
    assert list(refused.value.fields) == ["url"]


LOCAL = [
    "127.0.0.1",
    "127.255.0.3",
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "169.254.0.1",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[fe80::1]",
    "[febf::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:0.0.0.0]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[2001:db8::5efe:127.0.0.1]",
    "[fd00:ec2::254]",
    "168.63.129.16",
    "100.100.100.200",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
]
NEVER = [
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "[ff02::1]",
    "[::ffff:224.0.0.1]",
    "[64:ff9b:1::a00:1]",
    "[::127.0.0.1]",
    # Other ways to write 127.0.0.1, which getaddrinfo would understand.
    "2130706433",
    "0x7f000001",
    "0x7F.1",
    "127.1",
    "127.0.1",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "127.0.0.1.1",
    "1.2.3.256",
    "example.123",
    "127.0.0.0x1",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[::1%25lo]",
    "①②⑦.0.0.1",
    "127。0。0。1",
    "１２７.0.0.1",
    "[::1]x",
    "[127.0.0.1]",
]


@pytest.mark.parametrize("host", [*LOCAL, *NEVER])
def test_this_machine_and_its_link_are_refused_however_they_are_written(host):
    with pytest.raises(InvalidInput):
        checked_url(f"http://{host}/", allow_local=False)


@pytest.mark.parametrize("host", LOCAL)
def test_an_administrator_can_allow_them(host):
    assert checked_url(f"http://{host}/", allow_local=True)


@pytest.mark.parametrize("host", NEVER)
def test_what_names_no_host_stays_refused(host):
    with pytest.raises(InvalidInput):
        checked_url(f"http://{host}/", allow_local=True)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "2606:4700::1",
        "fd12:3456::1",
        "::ffff:192.168.1.1",
        "64:ff9b::808:808",
        "2002:808:808::1",
    ],
)
def test_public_and_lan_addresses_may_be_sent_to(address):
    assert refusal(ip_address(address), allow_local=False) == ""


def test_what_the_resolver_understands_is_what_is_judged():
    """The oracle: each way of writing 127.0.0.1 that this machine's resolver takes is caught."""
    for host in ("2130706433", "0x7f.1", "0177.0.0.1", "127.1"):
        found = socket.getaddrinfo(host, 80, type=socket.SOCK_STREAM)
        assert found[0][4][0] == "127.0.0.1"
        assert [str(address) for address in resolve(host, 80)] == ["127.0.0.1"]
        assert refusal(resolve(host, 80)[0], allow_local=False)


def test_a_zone_is_no_way_around(monkeypatch):
    rows = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1%eth0", 80, 0, 2))]
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *_, **__: rows)
    (address,) = resolve("printer.local", 80)
    assert refusal(address, allow_local=False) == "which is bound to this machine's link"
    assert str(address) == "fe80::1%eth0"  # where that is allowed, the zone is needed to connect


def test_a_url_comes_apart_as_it_is_sent():
    target = target_of("https://[fd00::1]:8443/a%20b?c=d")
    assert (target.is_https, target.host, target.port) == (True, "[fd00::1]", 8443)
    assert target.path == "/a%20b?c=d"
    assert target_of("http://example.com/").port == 80
    assert target_of("https://example.com/").port == 443
