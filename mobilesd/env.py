"""Typed reading of environment variables; a bad value stops the start and names the variable."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from django.core.exceptions import ImproperlyConfigured

__all__ = [
    "boolean",
    "choice",
    "database_url",
    "integer",
    "networks",
    "number",
    "origin",
    "path",
    "secret",
    "strings",
    "text",
    "time_zone",
    "url",
]

# Where systems say in which time zone they are: a link into the list of zones, or its name.
LOCALTIME = Path("/etc/localtime")
TIMEZONE = Path("/etc/timezone")
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


def _raw(name: str) -> str | None:
    value = os.environ.get(name)
    if value is None or not value.strip():
        return None
    return value.strip()


def _refuse(name: str, why: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{name} {why}. Correct it or remove it, then start again.")


def text(name: str, default: str = "") -> str:
    """Return a string; empty counts as not set."""
    return _raw(name) or default


def boolean(name: str, default: bool) -> bool:
    """Return a truth value; raise ImproperlyConfigured for anything but on/off words."""
    value = _raw(name)
    if value is None:
        return default
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise _refuse(name, f"must be true or false, not {value!r}")


def integer(name: str, default: int, low: int, high: int) -> int:
    """Return a whole number within low..high; raise ImproperlyConfigured otherwise."""
    value = _raw(name)
    if value is None:
        return default
    try:
        parsed = int(value)
    except ValueError:
        raise _refuse(name, f"must be a whole number, not {value!r}") from None
    if not low <= parsed <= high:
        raise _refuse(name, f"must be between {low} and {high}, not {parsed}")
    return parsed


def number(name: str, default: float, low: float, high: float) -> float:
    """Return a number within low..high; raise ImproperlyConfigured otherwise."""
    value = _raw(name)
    if value is None:
        return default
    try:
        parsed = float(value)
    except ValueError:
        raise _refuse(name, f"must be a number, not {value!r}") from None
    if not low <= parsed <= high:  # also refuses NaN
        raise _refuse(name, f"must be between {low} and {high}, not {value}")
    return parsed


def strings(name: str, default: Sequence[str] = ()) -> list[str]:
    """Return the parts of a comma-separated list."""
    value = _raw(name)
    if value is None:
        return list(default)
    return [part.strip() for part in value.split(",") if part.strip()]


def networks(name: str) -> list[IPv4Network | IPv6Network]:
    """Return the addresses and networks of a comma-separated list; default: none."""
    found = []
    for part in strings(name):
        try:
            found.append(ip_network(part, strict=False))
        except ValueError:
            raise _refuse(
                name, f"must hold addresses or networks such as 10.0.0.0/8, not {part!r}"
            ) from None
    return found


def choice(name: str, default: str, allowed: Sequence[str]) -> str:
    """Return one of the allowed words; raise ImproperlyConfigured otherwise."""
    value = _raw(name)
    if value is None:
        return default
    if value not in allowed:
        raise _refuse(name, f"must be one of {', '.join(allowed)}, not {value!r}")
    return value


def path(name: str, default: Path) -> Path:
    """Return an absolute path."""
    value = _raw(name)
    return (Path(value).expanduser() if value else default).resolve()


def url(name: str, default: str = "", schemes: Sequence[str] = ("http", "https")) -> str:
    """Return a URL without its trailing slash; raise ImproperlyConfigured for anything else."""
    value = _raw(name)
    if value is None:
        return default
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _refuse(name, "is not a URL") from None
    if parts.scheme not in schemes or not host:
        raise _refuse(name, f"must be a URL that begins with {' or '.join(schemes)}://")
    return value.rstrip("/")


def origin(name: str) -> str:
    """Return a URL of scheme, host and port; raise ImproperlyConfigured for one with more.

    Pages, forms and extensions all ask below the root of the host.
    """
    value = url(name)
    parts = urlsplit(value)
    if parts.path or parts.query or parts.fragment:
        raise _refuse(
            name,
            "must end with the host or its port, such as https://pictures.example.org:"
            " MobileSD can't be served below a path",
        )
    if "@" in parts.netloc:
        raise _refuse(name, "must hold no user and no password")
    return value and f"{parts.scheme}://{parts.netloc}"


def secret(name: str) -> str:
    """Return NAME, or the content of the file that NAME_FILE names."""
    value, file_name = _raw(name), _raw(f"{name}_FILE")
    if value and file_name:
        raise _refuse(name, f"and {name}_FILE are both set; use one of them")
    if file_name is None:
        return value or ""
    try:
        content = Path(file_name).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise _refuse(f"{name}_FILE", f"can't be read ({error.strerror})") from None
    if not content:
        raise _refuse(f"{name}_FILE", "names an empty file")
    return content


def time_zone(name: str) -> str:
    """Return the name of a time zone, of this machine's by default, or UTC if that says none."""
    value = _raw(name)
    if value is None:
        found = next((zone for zone in _machine_zones() if _is_zone(zone)), "UTC")
        return "UTC" if found == "Etc/UTC" else found  # as people read it in sentences
    if not _is_zone(value):
        raise _refuse(name, f"must be the name of a time zone such as Europe/Berlin, not {value!r}")
    return value


def _machine_zones() -> Iterator[str]:
    yield os.environ.get("TZ", "").removeprefix(":")
    with suppress(OSError):
        yield str(LOCALTIME.resolve(strict=True)).partition("/zoneinfo/")[2]
    with suppress(OSError, UnicodeDecodeError):
        yield TIMEZONE.read_text(encoding="utf-8").strip()


def _is_zone(name: str) -> bool:
    try:
        return bool(name) and ZoneInfo(name) is not None
    except (LookupError, ValueError, OSError):  # unknown, a path, a folder of the list
        return False


def database_url(name: str) -> dict[str, object] | None:
    """Return Django's settings for a postgresql:// URL, or None when the variable is not set.

    The password never appears in the error.
    """
    value = _raw(name)
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise _refuse(name, "is not a URL") from None
    database = parts.path.lstrip("/")
    if parts.scheme not in {"postgres", "postgresql"} or not database:
        raise _refuse(name, "must look like postgresql://user:password@host:5432/database")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(database),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(port or ""),
        # A connection that outlived the server's restart is replaced before it fails a request.
        "CONN_HEALTH_CHECKS": True,
    }
