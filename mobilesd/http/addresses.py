"""Where a request comes from, and under which address it found us."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import validate_host

__all__ = ["client_address", "is_own", "own_address", "plain_address"]

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


def own_address(request: Any) -> str:
    """Return the address of this MobileSD as whoever asks knows it, without a slash at its end.

    `settings.PUBLIC_URL` if it is set; else that of the request. What a proxy in front of us was
    asked for counts if it is one of `settings.TRUSTED_PROXIES`, and the host then must be one of
    ours like any other. Raises DisallowedHost.
    """
    if settings.PUBLIC_URL:
        return str(settings.PUBLIC_URL).rstrip("/")
    scheme, host = request.scheme, request.get_host()
    peer = plain_address(request.META.get("REMOTE_ADDR") or "")
    if peer is not None and any(peer in network for network in settings.TRUSTED_PROXIES):
        told = _first(request, "HTTP_X_FORWARDED_PROTO").lower()
        scheme = told if told in {"http", "https"} else scheme
        told = _first(request, "HTTP_X_FORWARDED_HOST")
        host = told if told and validate_host(_name_of(told), settings.ALLOWED_HOSTS) else host
    return f"{scheme}://{host}"


def is_own(address: str) -> bool:
    """Tell whether an address leads to us from this computer only."""
    try:
        name = urlsplit(address).hostname or ""
    except ValueError:
        return False
    found = plain_address(name)
    return name == "localhost" or (found is not None and found.is_loopback)


def _first(request: Any, header: str) -> str:
    return str(request.META.get(header, "")).partition(",")[0].strip()


def _name_of(host: str) -> str:
    try:
        parts = urlsplit(f"//{host}")
        # Anything beside name and port would become part of the address.
        plain = parts.netloc == host and "@" not in host and (parts.port or 1) > 0
        name = parts.hostname or ""
    except ValueError:
        return ""
    return (f"[{name}]" if ":" in name else name) if plain else ""
