"""What all HTTP answers share: request ids, strict JSON, the error envelope, paging.

A leaf: it imports no app, so that every app may use it. The views' base is in
`mobilesd.http.views`, not here: the framework imports this package while it loads its own views.
"""

from mobilesd.http.codec import JSONRenderer, StrictJSONParser
from mobilesd.http.paging import Page, PageRequest, paginate
from mobilesd.http.problems import (
    bad_request,
    exception_handler,
    not_found,
    server_error,
    unknown_api_path,
)
from mobilesd.http.request_id import RequestIdFilter, RequestIdMiddleware, request_id
from mobilesd.http.times import rfc3339

__all__ = [
    "JSONRenderer",
    "Page",
    "PageRequest",
    "RequestIdFilter",
    "RequestIdMiddleware",
    "StrictJSONParser",
    "bad_request",
    "exception_handler",
    "not_found",
    "paginate",
    "request_id",
    "rfc3339",
    "server_error",
    "unknown_api_path",
]
