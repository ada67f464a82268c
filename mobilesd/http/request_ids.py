"""One id per request, by which an answer, its log lines and its error can be found again."""

import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from inspect import iscoroutinefunction
from typing import cast

from asgiref.sync import markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

__all__ = [
    "RequestIdFilter",
    "RequestIdMiddleware",
    "asker",
    "forget_request",
    "is_sane",
    "request_id",
]

# Anything else could forge log lines or headers, so a new id is made instead.
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_current: ContextVar[str] = ContextVar("mobilesd_request_id", default="")
_request: ContextVar[HttpRequest | None] = ContextVar("mobilesd_request", default=None)

_Sync = Callable[[HttpRequest], HttpResponseBase]
_Async = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


def forget_request() -> None:
    """Let the code that follows in this context know of no request."""
    _current.set("")
    _request.set(None)


def request_id() -> str:
    """Return the id of the request that is being answered, or "" outside of one."""
    return _current.get()


def is_sane(text: str) -> bool:
    """Tell whether a text can be an id: it can forge neither a header nor a log line."""
    return _SANE.fullmatch(text) is not None


def asker() -> str:
    """Return who sent the request that is being answered, in words; "" if nobody is known.

    Asks no database: a request whose sender was never looked up has none.
    """
    request = _request.get()
    if request is None:
        return ""
    key = getattr(request, "auth", None)
    prefix = getattr(key, "prefix", "")
    if prefix:
        return f"the key {getattr(key, 'name', '') or prefix} ({prefix})"
    user = getattr(request, "_cached_user", None)  # where Django keeps it once it was looked up
    return str(user.get_username()) if user is not None and user.is_authenticated else ""


class RequestIdMiddleware:
    """Take `X-Request-ID` if it is sane, else make one; send it back with the answer."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: _Sync | _Async) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._answer_async(request)
        token = _current.set(_id_of(request))
        asked = _request.set(request)
        try:
            response = cast("_Sync", self.get_response)(request)
            response.headers["X-Request-ID"] = _current.get()
            return response
        finally:
            _current.reset(token)
            _request.reset(asked)

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        # Each request has a task of its own, so its context ends with it: nothing to reset.
        _current.set(_id_of(request))
        _request.set(request)
        response = await cast("_Async", self.get_response)(request)
        response.headers["X-Request-ID"] = _current.get()
        return response


def _id_of(request: HttpRequest) -> str:
    given = request.headers.get("X-Request-ID", "")
    return given if is_sane(given) else secrets.token_hex(8)


class RequestIdFilter(logging.Filter):
    """Give every log record a `request_id`, "-" outside of requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _current.get() or "-"
        return True
