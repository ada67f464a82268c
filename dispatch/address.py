"""Names and addresses of servers, as people type them: checked, and brought to one form."""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from mobilesd.errors import bad_field

__all__ = ["checked_alias", "checked_url", "host_and_port", "url_of"]

_ALIAS = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_PATH = re.compile(r"(/[A-Za-z0-9._~%!$&'()*+,;=:@-]*)*")
_MAX_URL = 300
_EXAMPLE = "Write it like http://192.168.1.20:7860."


def checked_alias(alias: str) -> str:
    """Return a server's name; raise InvalidInput for what can't stand in a path."""
    if not _ALIAS.fullmatch(alias):
        raise bad_field(
            "alias",
            "must be 1 to 64 letters, digits, hyphens or underscores.",
            "Choose a short name, such as gaming-pc.",
        )
    return alias


def checked_url(text: str) -> str:
    """Return a server's address without trailing slash; raise InvalidInput.

    The password belongs into `auth`: addresses are shown and logged.
    """
    text = text.strip()
    if not text:
        raise bad_field("apiUrl", "is missing.", _EXAMPLE, error="missing_required_field")
    if len(text) > _MAX_URL:
        raise bad_field("apiUrl", f"is longer than {_MAX_URL} characters.")
    parts = _split(text)
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
        raise bad_field("apiUrl", "must begin with http:// or https:// and name a host.", _EXAMPLE)
    if parts.username is not None or parts.password is not None:
        raise bad_field(
            "apiUrl",
            "must not hold a user name or password.",
            "Send them as auth: {username, password}; they are kept encrypted there.",
        )
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise bad_field("apiUrl", "must not hold a query (?…) or fragment (#…).", _EXAMPLE)
    if not _PATH.fullmatch(parts.path):
        raise bad_field("apiUrl", "has a path that no address can have.", _EXAMPLE)
    return f"{parts.scheme.lower()}://{_netloc(parts)}{parts.path.rstrip('/')}"


def _split(text: str) -> SplitResult:
    if any(c.isspace() or not c.isprintable() for c in text):
        raise bad_field("apiUrl", "must not hold blanks or control characters.", _EXAMPLE)
    try:
        parts = urlsplit(text)
        _ = parts.port, parts.hostname
    except ValueError:
        raise bad_field("apiUrl", "is not an address.", _EXAMPLE) from None
    return parts


def _netloc(parts: SplitResult) -> str:
    host = _checked_host(parts.hostname or "", "apiUrl")
    if parts.port == 0:
        raise bad_field("apiUrl", "has the port 0.", _EXAMPLE)
    return f"{host}:{parts.port}" if parts.port else host


def _checked_host(host: str, field: str) -> str:
    if ":" in host:
        try:
            return f"[{ipaddress.IPv6Address(host.strip('[]'))}]"
        except ValueError:
            raise bad_field(field, "names no host.", _EXAMPLE) from None
    labels = host.rstrip(".").split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise bad_field(field, "names no host.", _EXAMPLE)
    return host.lower()


def url_of(host: str, port: int) -> str:
    """Return the address of a host and port; raise InvalidInput."""
    if not 1 <= port <= 65535:
        raise bad_field("port", f"must be from 1 to 65535, not {port}.")
    return f"http://{_checked_host(host.strip(), 'host')}:{port}"


def host_and_port(url: str) -> tuple[str, int]:
    """Return the two parts of a stored address."""
    parts = urlsplit(url)
    default = 443 if parts.scheme == "https" else 80
    return parts.hostname or "", parts.port or default
