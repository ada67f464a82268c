"""Webhooks never go to a registered server: whoever may make webhooks could else send it orders.

Servers stand in the LAN, where webhooks may go, and many of them let everybody in who reaches
them. A URL is compared when it is saved, by what it says, and for each try once more by the
addresses that are about to be connected to: a name, or the list of servers, may have changed.
"""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from jobs.ports import ports
from jobs.webhooks.addresses import Resolver, faces, target_of
from mobilesd.errors import bad_field

__all__ = ["Endpoint", "is_server", "refuse_servers"]

IpAddress = IPv4Address | IPv6Address
Endpoint = tuple[str, int]  # host and port of a registered server


def refuse_servers(url: str) -> None:
    """Refuse the URL of a registered server, as far as it shows; raise InvalidInput."""
    target = target_of(url)
    host, port = target.host, target.port
    if is_server(host, port, _written(host, port), ports.servers.endpoints(), _written):
        raise bad_field(
            "url",
            "is the address of a server of this MobileSD, where no webhook goes to.",
            "Give the receiver another port.",
        )


def is_server(
    host: str,
    port: int,
    addresses: Sequence[IpAddress],
    servers: Sequence[Endpoint],
    resolver: Resolver,
) -> bool:
    """Tell whether a host with these addresses is one of the servers.

    A server whose name is not known now is compared by its name alone. This machine is the same
    one by all of its addresses.
    """
    for server_host, server_port in servers:
        if server_port != port:
            continue
        if _plain(server_host) == _plain(host):
            return True
        try:
            theirs = resolver(server_host, server_port)
        except (OSError, UnicodeError):
            continue
        if any(_same(one, other) for one in addresses for other in theirs):
            return True
    return False


def _written(host: str, port: int) -> Sequence[IpAddress]:
    """Return the address that a host is written as; none for a name."""
    try:
        return [ip_address(_plain(host))]
    except ValueError:
        return []


def _plain(host: str) -> str:
    return host.strip("[]").removesuffix(".").lower()


def _same(one: IpAddress, other: IpAddress) -> bool:
    return not faces(one).isdisjoint(faces(other)) or (_is_here(one) and _is_here(other))


def _is_here(address: IpAddress) -> bool:
    """Tell whether an address is one of this machine's: only those can be bound."""
    if any(face.is_loopback or face.is_unspecified for face in faces(address)):
        return True
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
