"""What the person set: where MobileSD is, and how jobs are sent there."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = ["ANY_SERVER", "BadAddress", "Settings", "checked_url", "default_url", "read"]

ANY_SERVER = "any"
LANES = ("interactive", "background")
_EXAMPLE = "Write it like http://192.168.1.20:8000"


class BadAddress(ValueError):
    """The address can't be one of MobileSD's; the text says why."""


@dataclass(frozen=True)
class Settings:
    """`url` as it was typed; `target` is empty for any server."""

    url: str = ""
    target: str = ""
    priority: int = 5
    lane: str = "interactive"


def read(option: Callable[[str], Any], default: str = "") -> Settings:
    """Read the options `mobilesd_*`; `option` returns one by its name, or None.

    What can't be right becomes the default: a broken config.json must not break the page.
    """
    url = option("mobilesd_url")
    target = option("mobilesd_target")
    priority = option("mobilesd_priority")
    lane = option("mobilesd_lane")
    return Settings(
        url=url.strip() if isinstance(url, str) and url.strip() else default,
        target=_target(target),
        priority=_priority(priority),
        lane=lane if lane in LANES else "interactive",
    )


def default_url(extension_folder: Path) -> str:
    """Return the address that the MobileSD which served the zip wrote into it, or nothing."""
    try:
        url = json.loads((extension_folder / "mobilesd_server.json").read_bytes())["url"]
        return checked_url(url)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""


def checked_url(text: str) -> str:
    """Return an address as `scheme://host[:port]`; raise BadAddress with a sentence."""
    text = text.strip()
    if not text:
        raise BadAddress(
            "Enter the address of your MobileSD in Forge's settings, section MobileSD."
        )
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadAddress(f"The address of MobileSD can't be read. {_EXAMPLE}.") from None
    if parts.scheme not in {"http", "https"}:
        raise BadAddress("The address of MobileSD must begin with http:// or https://.")
    if parts.username is not None or parts.password is not None:
        raise BadAddress("The address must hold no user and no password: enter the key as a key.")
    if not host or any(c.isspace() or not c.isprintable() for c in text):
        raise BadAddress(f"The address of MobileSD can't be read. {_EXAMPLE}.")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise BadAddress(f"The address of MobileSD ends with its port. {_EXAMPLE}.")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + (f":{port}" if port is not None else "")


def _target(value: Any) -> str:
    name = value.strip() if isinstance(value, str) else ""
    return "" if name == ANY_SERVER else name


def _priority(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return 5
    return int(min(10, max(1, value)))
