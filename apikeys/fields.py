"""What may be said of a key: each field is checked here, whoever says it (API, page, command)."""

from collections.abc import Callable, Mapping
from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings

from apikeys.scopes import SCOPES
from mobilesd.errors import InvalidInput
from mobilesd.http.times import read_moment

__all__ = [
    "DEFAULT_GRACE_SECONDS",
    "MAX_GRACE_SECONDS",
    "grace_seconds",
    "read_fields",
    "unknown_fields",
]

MAX_NAME = 50
MAX_DESCRIPTION = 500
MAX_ADDRESSES = 50
MAX_RATE = 100_000
MAX_QUOTA = 1_000_000_000
DEFAULT_GRACE_SECONDS = 86_400
MAX_GRACE_SECONDS = 30 * 86_400

# What GET shows and a client may send back without meaning anything by it.
_READ_ONLY = {
    "id",
    "key",
    "state",
    "created_at",
    "last_used_at",
    "usage_count",
    "error_count",
    "usage",
    "previous_secret_until",
}


class _Wrong(ValueError):
    """A value that can't be taken; the text goes on after the field's name."""


def _text(most: int, least: int = 0) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise _Wrong("must be a text.")
        text = value.strip()
        if not least <= len(text) <= most:
            span = f"{least} to {most}" if least else f"at most {most}"
            raise _Wrong(f"must have {span} characters.")
        if any((ord(sign) < 32 and sign not in "\n\t") or ord(sign) == 127 for sign in text):
            raise _Wrong("must not hold control characters.")
        return text

    return read


def _whole(most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int or not 0 <= value <= most:
            raise _Wrong(f"must be a whole number from 0 (unlimited) to {most}.")
        return value

    return read


def _quota(value: Any) -> int | None:
    return _whole(MAX_QUOTA)(value) or None


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("must be true or false.")
    return value


def _words(value: Any, known: tuple[str, ...]) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise _Wrong("must be a list of texts.")
    if unknown := [word for word in value if word not in known]:
        raise _Wrong(f"must be of {', '.join(known)}; {unknown[0][:60]!r} is not.")
    return [word for word in known if word in value]


def _scopes(value: Any) -> list[str]:
    if not (scopes := _words(value, SCOPES)):
        raise _Wrong(f"must name at least one of {', '.join(SCOPES)}.")
    return scopes


def _app_types(value: Any) -> list[str]:
    return _words(value, tuple(settings.DISPATCHERS))


def _network(text: str) -> str:
    try:
        network = ip_network(text.strip(), strict=False)
    except ValueError:
        raise _Wrong(
            "must be addresses or networks such as 192.168.1.20 or 192.168.1.0/24;"
            f" {text[:60]!r} is neither."
        ) from None
    first = network.network_address
    if isinstance(first, IPv6Address) and first.ipv4_mapped and network.prefixlen >= 96:
        # Whoever comes by such an address is known by its IPv4 form (mobilesd.http.addresses).
        network = ip_network((first.ipv4_mapped, network.prefixlen - 96))
    if network.num_addresses == 1:
        return str(ip_address(network.network_address))
    return str(network)


def _addresses(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise _Wrong("must be a list of texts.")
    if len(value) > MAX_ADDRESSES:
        raise _Wrong(f"may hold at most {MAX_ADDRESSES} addresses and networks.")
    return list(dict.fromkeys(_network(text) for text in value))


def _expiry(value: Any) -> datetime | None:
    if not isinstance(value, str):
        raise _Wrong("must be a time such as 2027-01-31T18:00:00Z, or an empty text for never.")
    if not value.strip():
        return None
    try:
        return read_moment("expires_at", value)
    except InvalidInput as problem:
        raise _Wrong(problem.message.removeprefix("expires_at ")) from None


def _not_revoked(value: Any) -> None:
    if value is not False:
        raise _Wrong("can't be set here: revoking is an action of its own.")


# The API's name -> the model's field ("" for none) and its reader.
_FIELDS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "name": ("name", _text(MAX_NAME, 1)),
    "description": ("description", _text(MAX_DESCRIPTION)),
    "owner": ("owner", _text(150)),
    "scopes": ("scopes", _scopes),
    "allowed_app_types": ("allowed_app_types", _app_types),
    "allowed_ips": ("allowed_ips", _addresses),
    "rate_limit": ("rate_limit", _whole(MAX_RATE)),
    "jobs_per_day": ("jobs_per_day", _quota),
    "gpu_seconds_per_day": ("gpu_seconds_per_day", _quota),
    "expires_at": ("expiry_date", _expiry),
    "is_active": ("is_active", _flag),
    "revoked": ("", _not_revoked),
}


def read_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given fields by the model's names; `owner` stays a user name.

    0 means unlimited; `expires_at` "" means never, `owner` "" the installation. Raises
    InvalidInput that says of each wrong field what is wrong.
    """
    found: dict[str, Any] = {}
    wrong: dict[str, list[str]] = {}
    for name, (column, read) in _FIELDS.items():
        if name not in body:
            continue
        try:
            value = read(body[name])
        except _Wrong as error:
            wrong[name] = [f"{name} {error}"]
        else:
            if column:
                found[column] = value
    if wrong:
        raise InvalidInput(" ".join(texts[0] for texts in wrong.values()), fields=wrong)
    return found


def unknown_fields(body: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each field that is not taken; their values may be secrets."""
    names = [name for name in body if name not in _FIELDS and name not in _READ_ONLY][:20]
    return [f"{name[:60]} is not a field of a key and was ignored." for name in names]


def grace_seconds(value: Any) -> int:
    """Return how long the secret before a rotation still works; raise InvalidInput."""
    if value is None:
        return DEFAULT_GRACE_SECONDS
    if type(value) is not int or not 0 <= value <= MAX_GRACE_SECONDS:
        text = f"grace_seconds must be a whole number from 0 to {MAX_GRACE_SECONDS} (30 days)."
        raise InvalidInput(text, fields={"grace_seconds": [text]})
    return value
