"""Telling an extension that it is too old, before it gets answers that it would misread.

Those that belong to MobileSD say their version in each request (`User-Agent:
mobilesd-<app type>-extension/1.0.0`) and in each order (`source_info: <app type>-extension/1.0.0`).
"""

import re
from typing import Any

from django.conf import settings
from django.urls import reverse

from mobilesd.errors import Problem

__all__ = ["check_source", "check_user_agent"]

_IN_USER_AGENT = re.compile(r"\bmobilesd-([a-z0-9]{1,32})-extension/(\S{1,40})")
_IN_SOURCE = re.compile(r"([a-z0-9]{1,32})-extension/(\S{1,40})")
_VERSION = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6}){0,3}")


def check_user_agent(request: Any) -> None:
    """Raise Problem if an extension sends this request that is too old for this MobileSD."""
    _check(_named_by(request))


def check_source(request: Any, source_info: str) -> None:
    """Raise Problem if an extension sends this order that is too old for this MobileSD.

    Where the User-Agent names a version, that counts: an order may have been written down before
    an update, to be sent after it.
    """
    if _named_by(request) is None:
        _check(_IN_SOURCE.match(source_info))


def _named_by(request: Any) -> re.Match[str] | None:
    return _IN_USER_AGENT.search(request.META.get("HTTP_USER_AGENT", "")[:500])


def _check(named: re.Match[str] | None) -> None:
    if named is None or named[1] not in settings.DISPATCHERS:
        return
    app_type, version = named.groups()
    minimum = settings.MINIMUM_EXTENSION_VERSION
    numbers = _numbers(version)
    # One that can't be read may be newer than all that we know.
    if numbers is None or numbers >= (_numbers(minimum) or []):
        return
    raise Problem(
        f"This extension (version {version}) is too old for this MobileSD,"
        f" which needs {minimum} or newer.",
        error="extension_too_old",
        extra={
            "version": version,
            "minimum_version": minimum,
            "url": reverse("extension", args=[app_type]),
        },
    )


def _numbers(version: str) -> list[int] | None:
    """Return the numbers of a version, or None if it is none; 1.0 and 1.0.0 are the same."""
    if not _VERSION.fullmatch(version):
        return None
    numbers = [int(number) for number in version.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers
