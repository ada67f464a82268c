"""Structured logs: one JSON line each in a file per kind of process, and the console.

Code logs with `logging.getLogger(__name__)`; what a line is about (request, job, attempt, server)
comes from `bind`, or from `extra` with the names of `setup.FIELDS`.
"""

from mobilesd.logs.context import bind, bound, request_headers
from mobilesd.logs.reading import Follower, Found, LogLine, lines_about
from mobilesd.logs.setup import FORMATS, LEVELS, configuration

__all__ = [
    "FORMATS",
    "LEVELS",
    "Follower",
    "Found",
    "LogLine",
    "bind",
    "bound",
    "configuration",
    "lines_about",
    "request_headers",
]
