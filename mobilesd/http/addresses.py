"""Where a request comes from."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from django.conf import settings

__all__ = ["client_address", "plain_address"]

# Nobody has a longer chain of proxies; a forged header must not cost time.
_MAX_HOPS = 20


def plain_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address without port, brackets and zone, IPv4-mapped ones as IPv4; else None."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def client_address(request: Any) -> str:
    """Return the address that a request comes from, or "" where there is none (a Unix socket).

    `X-Forwarded-For` counts only as far as it was written by `settings.TRUSTED_PROXIES`: what
    stands left of the first address that is no such proxy may be made up by the client.
    """
    address = plain_address(request.META.get("REMOTE_ADDR") or "")
    proxies = settings.TRUSTED_PROXIES
    if address is None:
        return ""
    if proxies:
        hops = request.META.get("HTTP_X_FORWARDED_FOR", "").rsplit(",", _MAX_HOPS)[-_MAX_HOPS:]
        while hops and any(address in network for network in proxies):
            before = plain_address(hops.pop())
            if before is None:
                break
            address = before
    return str(address)
