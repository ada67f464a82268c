"""What every answer gets: the headers of the key's limit, and its line in the access log."""

import base64
import binascii
import json
import re
import time
from collections.abc import Callable
from typing import Any, cast

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from apikeys import limits
from apikeys.access_log import Line, access_log
from apikeys.endings import ending_of
from apikeys.models import ApiKey
from mobilesd.errors import Problem
from mobilesd.http.addresses import client_address
from mobilesd.http.problems import envelope
from mobilesd.http.request_ids import request_id

__all__ = [
    "AccessMiddleware",
    "answered",
    "presented_prefix",
    "printable",
    "route_of",
    "tell_error",
    "tell_source",
]

REFUSED = frozenset({401, 403, 429})
_SOURCE = "_mobilesd_source_info"
_ERROR = "_mobilesd_error"
_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,16}")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\u024f]")
_KEY_HEADERS = frozenset({"api-key", "bearer"})


class AccessMiddleware:
    """Stands outside of all that may refuse a request, so that it sees each answer of a view."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        response = self.get_response(request)
        return answered(request, response, time.perf_counter() - began)


def answered(request: HttpRequest, response: HttpResponseBase, seconds: float) -> HttpResponseBase:
    """Add the limit's headers, slow refused attempts down, note the request; return the answer.

    Each request of a key is noted and each refused one, but not what signed-in pages ask for. A
    stream is noted once, when it starts, an answer that was waited for when it ends. For those who
    answer outside of the middleware as well: call it once a request; it asks for nothing but
    `request.auth` and `request.META`.
    """
    key = getattr(request, "auth", None)
    key = key if isinstance(key, ApiKey) else None
    refused = response.status_code in REFUSED
    if key is None and not refused:
        return response
    for name, value in limits.headers_of(request).items():
        response.headers.setdefault(name, value)
    address = client_address(request)
    error = _error_of(response)
    if key is None and error and _is_unknown(request):
        wait = limits.refuse(address)
        if wait is not None:
            response, error = _slowed_down(wait), "rate_limited"
    line = _line(request, response, key, error, address, seconds)
    ending = ending_of(request)
    if ending is not None and response.status_code == 200:
        ending.keep(line)
    else:
        access_log.note(line)
    return response


def tell_source(request: Any, source_info: str) -> None:
    """Say for the log what program sent a request."""
    setattr(getattr(request, "_request", request), _SOURCE, source_info)


def tell_error(request: HttpRequest, error: str) -> None:
    """Say for the log why a page refuses a request; an answer of the API says so itself."""
    setattr(request, _ERROR, error)


def _is_unknown(request: HttpRequest) -> bool:
    """Tell whether a refused request comes from nobody that could be recognised."""
    user = getattr(request, "user", None)
    return user is None or not user.is_authenticated


def _slowed_down(wait: int) -> HttpResponse:
    problem = Problem(
        "Too many refused attempts came from this address.",
        error="rate_limited",
        hint=f"Wait {wait} s, then send a valid API key; valid keys are not slowed down.",
    )
    response = JsonResponse(
        envelope(problem),
        status=problem.status,
        headers={"Retry-After": str(wait), "Cache-Control": "no-store"},
    )
    response.headers["Content-Length"] = str(len(response.content))
    return response


def _error_of(response: HttpResponseBase) -> str:
    """Return the error code of an API's answer, "" for a page's and for a success."""
    if response.status_code < 400:
        return ""
    data = getattr(response, "data", None)  # of a REST answer
    if isinstance(data, dict):
        return str(data.get("error") or "")
    if response.headers.get("Content-Type") != "application/json" or response.streaming:
        return ""
    body = json.loads(cast("HttpResponse", response).content)
    return str(body.get("error") or "") if isinstance(body, dict) else ""


def _line(
    request: HttpRequest,
    response: HttpResponseBase,
    key: ApiKey | None,
    error: str,
    address: str,
    seconds: float,
) -> Line:
    status = response.status_code
    error = error or getattr(request, _ERROR, "")
    prefix = key.prefix if key is not None else presented_prefix(request)
    # Of refusals for their number, one line a second and place: a flood must not fill the disk.
    place = prefix if key is not None else limits.network_of(address)
    return Line(
        at=timezone.now(),
        key_prefix=prefix,
        known=key is not None,
        method=printable(request.method or "", 10),
        route=route_of(request),
        status=status,
        error=error,
        milliseconds=round(seconds * 1000, 2),
        bytes=_size(response),
        address=address or None,
        user_agent=printable(request.META.get("HTTP_USER_AGENT", ""), 200),
        source_info=printable(str(getattr(request, _SOURCE, "") or ""), 200),
        request_id=request_id(),
        fold=f"{place} {error}" if status == 429 else "",
    )


def route_of(request: HttpRequest) -> str:
    """Return the pattern that answered; the path itself may hold an id or a first-run secret."""
    match = request.resolver_match
    return match.route[:200] if match is not None else ""


def _size(response: HttpResponseBase) -> int:
    """Return the bytes of the answer, 0 for a stream without a known end."""
    if response.streaming:
        announced = response.headers.get("Content-Length", "")
        return int(announced) if announced.isdecimal() else 0
    return len(cast("HttpResponse", response).content)


def printable(text: str, length: int) -> str:
    """Return the beginning of what a client sent, without what could harm who reads the log."""
    return _UNPRINTABLE.sub("?", text[:length])


def presented_prefix(request: Any) -> str:
    """Return the prefix that a refused request presents as its key's, "" if it shows none.

    Whatever does not look like a prefix may be a secret in the wrong place, so it becomes "?".
    """
    meta = request.META
    scheme, _, value = meta.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() in _KEY_HEADERS:
        value = value.strip()
        if scheme.lower() == "bearer" and "." not in value:
            value = _decoded(value)
        prefix, dot, _ = value.partition(".")
        return prefix if dot and _PREFIX.fullmatch(prefix) else "?"
    prefix = meta.get("HTTP_X_API_KEY", "").strip().partition(".")[0]
    if not prefix:
        return "?" if meta.get("HTTP_X_API_SECRET") else ""
    return prefix if _PREFIX.fullmatch(prefix) else "?"


def _decoded(value: str) -> str:
    """Return `P.S` of base64(P:S), or something that has no prefix."""
    try:
        pair = base64.b64decode(value[:400] + "=" * (-len(value) % 4), validate=True)
        return pair.decode("ascii").replace(":", ".", 1)
    except (ValueError, binascii.Error):
        return ""
