"""Refusals of requests that Django never sees, because their bodies are too large or too slow.

To a key they are answers like any other: counted, with the headers of its limit, and a line in
the access log that names it.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any

from django.db import DatabaseError, connections
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import resolve
from rest_framework.exceptions import APIException

from apikeys.authentication import ApiKeyAuthentication
from apikeys.limits import KeyThrottle
from apikeys.middleware import answered, presented_prefix, printable, route_of
from mobilesd.errors import Problem
from mobilesd.http.addresses import client_address
from mobilesd.http.problems import envelope, to_problem
from mobilesd.http.request_ids import RequestIdMiddleware

__all__ = ["presents_key", "refusal", "seen"]

logger = logging.getLogger(__name__)


def presents_key(meta: Mapping[str, str]) -> bool:
    """Tell whether a request with these headers, named as in `request.META`, shows some key."""
    return bool(presented_prefix(_request("", "", meta)))


def seen(method: str, path: str, meta: Mapping[str, str]) -> dict[str, str]:
    """Return what the access log says of such a request: fields of its `Line`. Asks no database."""
    request = _request(method, path, meta)
    return {
        "method": printable(method, 10),
        "route": route_of(request),
        "user_agent": printable(meta.get("HTTP_USER_AGENT", ""), 200),
        "address": client_address(request),
    }


def refusal(
    method: str, path: str, meta: Mapping[str, str], problem: Problem, seconds: float
) -> HttpResponse | None:
    """Return the answer with this problem to a request that shows a key; counted and noted.

    The key comes first, as everywhere: one that is no good, or has used up its limit, is answered
    that instead. None while the database does not answer: then nothing is counted either. Asks
    the database, and closes its connection; for a thread that comes and goes.
    """
    request = _request(method, path, meta)

    def answer(_: HttpRequest) -> HttpResponseBase:
        return answered(request, _error(_told(request, problem)), seconds)

    try:
        response = RequestIdMiddleware(answer)(request)
    except DatabaseError:
        logger.warning("a key could not be looked up to refuse its request")
        return None
    finally:
        connections.close_all()
    assert isinstance(response, HttpResponse)
    return response


def _request(method: str, path: str, meta: Mapping[str, str]) -> HttpRequest:
    request = HttpRequest()
    request.method, request.path, request.META = method, path, dict(meta)
    try:
        request.resolver_match = resolve(path) if path else None
    except Http404:
        request.resolver_match = None
    return request


def _told(request: Any, problem: Problem) -> Problem:
    """Return what is wrong with the key of a request, else the problem that there is anyway."""
    try:
        found = ApiKeyAuthentication().authenticate(request)
        if found is not None:
            request.user, request.auth = found
            match = request.resolver_match
            view = getattr(match.func, "cls", None) if match is not None else None
            KeyThrottle().allow_request(request, view)
    except (APIException, Problem) as refused:
        return to_problem(refused) or problem
    return problem


def _error(problem: Problem) -> HttpResponse:
    body = json.dumps(envelope(problem))
    response = HttpResponse(body, status=problem.status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    return response
