"""From a request's JSON to the fields of a server: types are checked here."""

from collections.abc import Mapping
from typing import Any

from dispatch.address import checked_url, host_and_port, url_of
from jobs.hours import OPENING_FIELDS
from mobilesd.errors import bad_field

__all__ = ["read_fields", "unknown_fields"]

_TEXTS = (
    *("alias", "app_type", "description", "interrupt", "wake_mac", "companion_token"),
    *OPENING_FIELDS,
)
_NUMBERS = ("wake_seconds", "yield_below_mb")  # services say which are right
_SWITCHES = ("enabled", "paused")
_READ_ONLY = {"healthy", "companion"}  # what GET shows and a client may send back
_KNOWN = {*_TEXTS, *_NUMBERS, *_SWITCHES, *_READ_ONLY, "apiUrl", "host", "port", "auth"}


def read_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given fields under the names of `dispatch.services`; raise InvalidInput."""
    fields: dict[str, Any] = {name: _text(body, name, name) for name in _TEXTS if name in body}
    for name in _SWITCHES:
        if name in body:
            if not isinstance(body[name], bool):
                raise bad_field(name, "must be true or false.")
            fields[name] = body[name]
    fields |= {name: body[name] for name in _NUMBERS if name in body}
    url = _url(body)
    if url is not None:
        fields["url"] = url
    return fields | _auth(body)


def unknown_fields(body: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each field that is not taken."""
    names = [name for name in body if name not in _KNOWN][:20]
    return [f"{name[:60]} is not a field of a server and was ignored." for name in names]


def _text(body: Mapping[str, Any], name: str, path: str) -> str:
    if not isinstance(body[name], str):
        raise bad_field(path, "must be a text.")
    return str(body[name])


def _url(body: Mapping[str, Any]) -> str | None:
    if "apiUrl" in body:
        return _agreeing(body)
    if "host" not in body and "port" not in body:
        return None
    for name in ("host", "port"):
        if name not in body:
            raise bad_field(name, "is missing.", "Send host and port, or apiUrl.")
    return url_of(_text(body, "host", "host"), _port(body))


def _agreeing(body: Mapping[str, Any]) -> str:
    """Return apiUrl; a host or port beside it must be its own, as in what GET shows."""
    url = checked_url(_text(body, "apiUrl", "apiUrl"))
    host, port = host_and_port(url)
    given: dict[str, Any] = {}
    if "host" in body:
        given["host"] = host_and_port(url_of(_text(body, "host", "host"), port))[0]
    if "port" in body:
        given["port"] = _port(body)
    for name, own in (("host", host), ("port", port)):
        if given.get(name, own) != own:
            raise bad_field(
                name,
                f"is not that of apiUrl, which is {own}.",
                "Send apiUrl alone, or host and port alone.",
            )
    return url


def _port(body: Mapping[str, Any]) -> int:
    port = body["port"]
    if isinstance(port, str) and port.isascii() and port.isdigit() and len(port) < 6:
        port = int(port)
    if type(port) is not int:
        raise bad_field("port", "must be a whole number.")
    return port


def _auth(body: Mapping[str, Any]) -> dict[str, str]:
    auth = body.get("auth")
    if auth is None:
        return {}
    if not isinstance(auth, dict):
        raise bad_field("auth", "must be an object with username and password.")
    if unknown := sorted(set(auth) - {"username", "password"}):
        raise bad_field(f"auth.{unknown[0][:60]}", "is not a field of auth.")
    given = {name: value for name, value in auth.items() if value is not None}
    return {name: _text(given, name, f"auth.{name}") for name in given}
