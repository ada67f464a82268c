"""Addresses: what to bind, what to allow, and what to show to a phone."""

import contextlib
import ipaddress
import socket
from collections.abc import Iterable, Sequence

import psutil

__all__ = ["EVERYWHERE", "allowed_hosts", "check_port", "free_port", "lan_addresses", "url"]

EVERYWHERE = ("0.0.0.0", "::")
_OWN = ("localhost", "127.0.0.1", "[::1]")


def lan_addresses() -> list[str]:
    """Return this host's private IPv4 addresses, that of the default route first."""
    found = {
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and _is_lan(address.address)
    }
    first = _default_address()
    return sorted(found, key=lambda address: (address != first, ipaddress.ip_address(address)))


def _is_lan(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return parsed.is_private and not parsed.is_loopback and not parsed.is_link_local


def _default_address() -> str:
    # Connecting a datagram socket sends nothing; it only makes the system choose a route.
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return ""


def allowed_hosts(configured: Sequence[str], host: str, addresses: Iterable[str]) -> list[str]:
    """Return what browsers may call this host when the web process binds `host`."""
    names = [*configured, *_OWN]
    if host in EVERYWHERE:
        name = socket.gethostname()
        names += [name, f"{name.split('.')[0]}.local", *addresses]
    else:
        names.append(_bracketed(host))
    return list(dict.fromkeys(names))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def url(host: str, port: int, path: str = "/") -> str:
    """Return the address to type for this host."""
    return f"http://{_bracketed(host)}:{port}{path}"


def check_port(host: str, port: int) -> None:
    """Raise OSError if the web process could not listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen(1)


def free_port() -> int:
    """Return a loopback port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
