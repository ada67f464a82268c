"""The error envelope of contracts/api.md, for whatever goes wrong in an API request."""

import errno
import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.utils import timezone
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from mobilesd.errors import CATALOGUE, NotFound, Problem, Unavailable
from mobilesd.http.request_ids import request_id
from mobilesd.http.times import rfc3339

__all__ = [
    "bad_request",
    "envelope",
    "exception_handler",
    "not_found",
    "server_error",
    "to_problem",
]

logger = logging.getLogger(__name__)

BUSY_SECONDS = 2
_BUSY_WORDS = ("locked", "busy", "deadlock", "could not serialize", "lock timeout")
_AWAY_WORDS = ("connection", "starting up", "shutting down")
_FULL_WORDS = ("disk is full", "no space left")


def envelope(problem: Problem) -> dict[str, Any]:
    """Return the body of an error answer."""
    return {
        "success": False,
        "error": problem.error,
        "message": problem.message,
        "details": {
            **problem.extra,
            "code": problem.error.upper(),
            "timestamp": rfc3339(timezone.now()),
            "fields": {path: list(texts) for path, texts in problem.fields.items()},
            "hint": problem.hint,
            "request_id": request_id(),
        },
    }


def _flatten(detail: Any, path: str = "") -> dict[str, list[str]]:
    if isinstance(detail, Mapping):
        found: dict[str, list[str]] = {}
        for name, inner in detail.items():
            found |= _flatten(inner, f"{path}.{name}" if path else str(name))
        return found
    if isinstance(detail, list) and any(isinstance(inner, dict | list) for inner in detail):
        return _flatten(dict(enumerate(detail)), path)
    texts = detail if isinstance(detail, list) else [detail]
    return {path: [str(text) for text in texts]}


def _of_api_exception(exc: exceptions.APIException) -> Problem | None:
    codes = exc.get_codes()
    message = str(exc.detail) if not isinstance(exc.detail, list | dict) else ""
    code = codes if isinstance(codes, str) else "invalid_field_value"
    match exc:
        case exceptions.ValidationError():
            fields = _flatten(exc.detail)
            return Problem("The request holds a value that can't be taken.", fields=fields)
        case exceptions.ParseError():
            return Problem(message, error="invalid_json")
        case exceptions.NotAuthenticated():
            return Problem(
                "This needs an API key or a signed-in page.", error="authentication_required"
            )
        case exceptions.AuthenticationFailed():
            known = code if code != "authentication_failed" else "invalid_api_key"
            return Problem(message, error=known)
        case exceptions.PermissionDenied():
            known = code if code != "permission_denied" else "scope_missing"
            return Problem(message, error=known)
        case exceptions.Throttled():
            return Problem(message, error="rate_limited")
    if code not in CATALOGUE:
        return None
    return Problem(message or CATALOGUE[code].meaning, error=code)


def _of_database_error(exc: DatabaseError | InterfaceError) -> Problem | None:
    text = str(exc).lower()
    if any(word in text for word in _BUSY_WORDS):
        return Unavailable(CATALOGUE["database_busy"].meaning, retry_after=BUSY_SECONDS)
    lost = isinstance(exc, OperationalError | InterfaceError)
    if lost and any(word in text for word in _AWAY_WORDS):
        return Unavailable("The database does not answer.", retry_after=BUSY_SECONDS)
    return _disk_full() if any(word in text for word in _FULL_WORDS) else None


def _disk_full() -> Problem:
    return Unavailable(CATALOGUE["storage_full"].meaning, error="storage_full", retry_after=60)


def to_problem(exc: Exception) -> Problem | None:
    """Return what to answer to an exception, or None if it is a fault of ours."""
    match exc:
        case Problem():
            return exc
        case exceptions.APIException():
            return _of_api_exception(exc)
        case Http404():
            return NotFound("There is nothing at this address.")
        case PermissionDenied():
            return Problem("You may not do this.", error="scope_missing")
        case RequestDataTooBig():
            return Problem("The body is too large.", error="payload_too_large")
        case UnreadablePostError():
            return Problem("The body ended early.", error="invalid_json", hint="Send it again.")
        case BadRequest() | SuspiciousOperation():
            return Problem("The request is malformed.", hint="Check its headers and its path.")
        case DatabaseError() | InterfaceError():
            return _of_database_error(exc)
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return _disk_full()
    return None


def _fault() -> Problem:
    return Problem(CATALOGUE["internal_error"].meaning, error="internal_error")


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> Response:
    """Answer any exception of an API view; nothing internal leaves, faults are logged."""
    problem = to_problem(exc)
    if problem is None:
        request = context.get("request")
        logger.error(
            "fault while answering %s %s",
            getattr(request, "method", "?"),
            getattr(request, "path", "?"),
            exc_info=exc,
        )
        problem = _fault()
    headers = {}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    if wait := getattr(exc, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    if auth_header := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    return Response(envelope(problem), status=problem.status, headers=headers)


def _is_api(request: HttpRequest) -> bool:
    return request.path == "/api" or request.path.startswith("/api/")


def _plain(problem: Problem) -> JsonResponse:
    return JsonResponse(envelope(problem), status=problem.status)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an unknown address (handler404)."""
    if _is_api(request):
        return _plain(NotFound("There is nothing at this address."))
    if getattr(request, "htmx", False):
        # Nobody sees its page, which would use up the toast that waits for the next one: the page
        # of a job that was just deleted is read again before the queue is.
        return HttpResponse(status=404)
    return defaults.page_not_found(request, exception)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a malformed request (handler400)."""
    if _is_api(request):
        return _plain(to_problem(exception) or Problem("The request is malformed."))
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer after a fault outside of the API's views (handler500)."""
    return _plain(_fault()) if _is_api(request) else defaults.server_error(request)
