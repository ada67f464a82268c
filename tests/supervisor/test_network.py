"""Which addresses are bound, allowed and shown."""

import socket
from types import SimpleNamespace

import pytest

from mobilesd.supervisor import network


def test_only_private_addresses_of_this_host_are_shown(monkeypatch):
    def address(text: str, family: int = socket.AF_INET) -> SimpleNamespace:
        return SimpleNamespace(family=family, address=text)

    interfaces = {
        "lo": [address("127.0.0.1")],
        "eth0": [address("192.168.1.5"), address("fe80::1", socket.AF_INET6)],
        "docker0": [address("172.17.0.1")],
        "wan": [address("93.184.216.34"), address("169.254.3.4")],
    }
    monkeypatch.setattr(network.psutil, "net_if_addrs", lambda: interfaces)
    monkeypatch.setattr(network, "_default_address", lambda: "192.168.1.5")
    assert network.lan_addresses() == ["192.168.1.5", "172.17.0.1"]


def test_at_all_addresses_the_hosts_names_and_addresses_are_allowed(monkeypatch):
    monkeypatch.setattr(network.socket, "gethostname", lambda: "sofa.home")
    allowed = network.allowed_hosts(["pics.example"], "0.0.0.0", ["192.168.1.5"])
    assert allowed == [
        "pics.example",
        "localhost",
        "127.0.0.1",
        "[::1]",
        "sofa.home",
        "sofa.local",
        "192.168.1.5",
    ]


def test_at_one_address_only_that_one_is_added():
    assert network.allowed_hosts([], "10.0.0.7", ["192.168.1.5"])[-1] == "10.0.0.7"
    assert network.allowed_hosts([], "fd00::7", [])[-1] == "[fd00::7]"


@pytest.mark.parametrize(
    ("host", "expected"),
    [("10.0.0.7", "http://10.0.0.7:8000/"), ("fd00::7", "http://[fd00::7]:8000/")],
)
def test_urls_can_be_typed(host, expected):
    assert network.url(host, 8000) == expected


def test_a_port_in_use_is_noticed_and_a_free_one_stays_free():
    port = network.free_port()
    network.check_port("127.0.0.1", port)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(OSError, match="in use"):
            network.check_port("127.0.0.1", port)
