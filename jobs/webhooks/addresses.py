"""Where webhooks may go: the form of a URL, and which addresses its host may have.

The public internet and the LAN are allowed. This machine itself and its link are not: they trust
whoever reaches them, and at 169.254.169.254 clouds hand out secrets. A name is resolved by us for
each try, all of its addresses are judged, and one of those is connected to: asking the name again
in between would let its owner answer something else (DNS rebinding).
"""

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from mobilesd.errors import InvalidInput, bad_field

__all__ = [
    "Refused",
    "Resolver",
    "Target",
    "checked_url",
    "faces",
    "refusal",
    "resolve",
    "target_of",
]

IpAddress = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Sequence[IpAddress]]

MAX_URL = 1000
_EXAMPLE = "Write it like https://example.com/hooks/mobilesd."
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# Browsers, and inet_aton below getaddrinfo, read these as IPv4: 2130706433, 0x7f.1, 0177.0.0.1.
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")

# Addresses outside of the link at which clouds tell a machine its own secrets: AWS, Google, Azure,
# Alibaba.
_METADATA = frozenset(
    map(ip_address, ("fd00:ec2::254", "fd20:ce::254", "168.63.129.16", "100.100.100.200"))
)
_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_COMPATIBLE = IPv6Network("::/96")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
_THIS_NETWORK = 0  # 0.0.0.0/8: a connection to 0.0.0.0 reaches this machine


class Refused(Exception):
    """The host has an address that nothing is sent to; the text says which and why."""


@dataclass(frozen=True)
class Target:
    """A URL in its parts; `path` is what stands in the request line."""

    is_https: bool
    host: str
    port: int
    path: str


def checked_url(text: str, *, allow_local: bool) -> str:
    """Return the URL of a webhook in its one form; raise InvalidInput.

    Names are not looked up here: they may be of a server that is not up yet, and each try looks
    them up anyway.
    """
    text = text.strip()
    if not text:
        raise bad_field("url", "is missing.", _EXAMPLE, error="missing_required_field")
    if len(text) > MAX_URL:
        raise bad_field("url", f"is longer than {MAX_URL} characters.")
    if "\\" in text or any(c.isspace() or not c.isprintable() for c in text):
        raise bad_field("url", "must not hold blanks, backslashes or control characters.", _EXAMPLE)
    try:
        parts = parse_url(text)
    except LocationParseError:
        raise bad_field("url", "is not an address.", _EXAMPLE) from None
    if parts.scheme not in {"http", "https"} or not parts.host:
        raise bad_field("url", "must begin with http:// or https:// and name a host.", _EXAMPLE)
    if "@" in re.split("[/?#]", text.partition("//")[2], maxsplit=1)[0]:
        raise bad_field(
            "url",
            "must not hold a user name or password.",
            "Addresses are shown and logged. Check the signature instead, or put a random word"
            " into the path.",
        )
    if parts.fragment is not None or "#" in text:
        raise bad_field("url", "must not hold a fragment (#…): it is never sent.", _EXAMPLE)
    if parts.port == 0:
        raise bad_field("url", "has the port 0.", _EXAMPLE)
    host = _checked_host(parts.host.lower(), allow_local=allow_local)
    url = parts._replace(host=host, path=parts.path or "/").url
    if len(url) > MAX_URL:  # percent signs have made it longer
        raise bad_field("url", f"is longer than {MAX_URL} characters.")
    return url


def _checked_host(host: str, *, allow_local: bool) -> str:
    if "%" in host:
        raise _host_problem("must not hold an IPv6 zone.")
    literal = _literal(host.strip("[]"))
    if literal is not None:
        if why := refusal(literal, allow_local=allow_local):
            raise _host_problem(f"names {literal}, {why}.")
        return f"[{literal}]" if literal.version == 6 else str(literal)
    name = host.removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _host_problem("names no host.")
    if _NUMERIC.fullmatch(labels[-1]):
        raise _host_problem("names no host. Write an IPv4 address as four numbers.")
    if labels[-1] == "localhost" and not allow_local:
        raise _host_problem("names this machine, where nothing is sent to.")
    return name


def _host_problem(sentence: str) -> InvalidInput:
    return bad_field("url", sentence, _EXAMPLE)


def _literal(host: str) -> IpAddress | None:
    try:
        return ip_address(host.removesuffix("."))
    except ValueError:
        return None


def target_of(url: str) -> Target:
    """Return the parts of a stored URL."""
    parts: Url = parse_url(url)
    is_https = parts.scheme == "https"
    return Target(
        is_https=is_https,
        host=parts.host or "",
        port=parts.port or (443 if is_https else 80),
        path=parts.request_uri,
    )


def resolve(host: str, port: int) -> Sequence[IpAddress]:
    """Return the addresses of a host, as the machine's resolver answers; raise OSError."""
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(str(row[4][0])) for row in found))


def refusal(address: IpAddress, *, allow_local: bool) -> str:
    """Return why nothing is sent to this address, or "" if it may be.

    An IPv6 address that stands for an IPv4 one is judged as both.
    """
    embedded = _embedded(address)
    translated = isinstance(address, IPv6Address) and (
        address in _NAT64 or address.ipv4_mapped is not None
    )
    judged = embedded if translated else [address, *embedded]
    for each in judged:
        if why := _refusal_of_one(each, allow_local=allow_local):
            return why
    return ""


def _refusal_of_one(address: IpAddress, *, allow_local: bool) -> str:
    if not allow_local:
        # `is_unspecified` before all: connecting to it means this machine.
        if address.is_unspecified or address.is_loopback:
            return "which is this machine itself"
        if address.version == 4 and int(address) >> 24 == _THIS_NETWORK:
            return "which is this machine itself"
        if address.is_link_local:
            return "which is bound to this machine's link"
        if address in _METADATA:
            return "which tells machines of a cloud their secrets"
    if address.is_multicast:
        return "which is a multicast address"
    if address.version == 6 and address in _LOCAL_NAT64:
        return "which a translator may turn into any address"
    reserved_here = address.is_loopback or address.is_unspecified  # ::1 and :: lie in ::/8
    if address.is_reserved and not reserved_here:
        return "which is reserved and belongs to nobody"
    return ""


def faces(address: IpAddress) -> frozenset[IpAddress]:
    """Return the addresses that a connection to this one may end at."""
    return frozenset([address, *_embedded(address)])


def _embedded(address: IpAddress) -> list[IpAddress]:
    """Return the IPv4 addresses that an IPv6 address carries, for whatever translates it."""
    if isinstance(address, IPv4Address):
        return []
    found: list[IpAddress] = []
    low = int(address) & 0xFFFF_FFFF
    if address.ipv4_mapped is not None:
        found.append(address.ipv4_mapped)
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found.extend(address.teredo)
    isatap = (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP
    compatible = address in _COMPATIBLE and low > 1  # :: and ::1 are themselves
    if address in _NAT64 or compatible or isatap:
        found.append(IPv4Address(low))
    return found
