"""Django's LOGGING: structlog's formatter on top of the standard library's logging."""

import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from mobilesd.http.request_ids import request_id

__all__ = ["FIELDS", "FORMATS", "LEVELS", "configuration", "process_kind"]

FORMATS = ("console", "json")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

# What a line may have besides its text. A list of what is allowed, since libraries attach whole
# requests, whose addresses and headers belong into no log.
FIELDS = (
    *("request_id", "job", "attempt", "server", "batch", "jobs", "by"),
    *("status", "outcome", "code", "error_class", "measures"),
    *("method", "path", "http_status", "ms", "sent", "received"),
)

# What a value in an error's text could give away: a key (prefix.secret), a password in a URL.
_KEY = re.compile(r"\b([A-Za-z0-9]{8})\.[A-Za-z0-9]{32}\b")
_PASSWORD = re.compile(r"(://[^/\s:@]+:)[^/\s@]+@")

_KINDS = {"up": "supervisor", "run_web": "web", "fake_forge": "demo", "runserver": "web"}


@cache
def process_kind() -> str:
    """Return what this process is, by its command line: the name of its log file."""
    program, *arguments = sys.argv or [""]
    if arguments[:1] == ["qcluster"]:
        return os.environ.get("Q_CLUSTER_NAME") or "background"
    if any(name in Path(program).parts or name in program for name in ("daphne", "uvicorn")):
        return "web"
    return _KINDS.get(arguments[0], "command") if arguments else "command"


def _add_request(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    asked = request_id()
    if asked:
        event.setdefault("request_id", asked)
    return event


def _add_process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event["process"] = process_kind()
    event["pid"] = os.getpid()
    return event


def _hide_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for name in ("event", "exception"):
        text = event.get(name)
        if text is not None:
            text = _KEY.sub(r"\1.…", str(text))
            event[name] = _PASSWORD.sub(r"\1…@", text)
    return event


def _finite(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Keep a line a line: whatever was attached becomes text, a number or a list of texts."""
    for name, value in event.items():
        if not isinstance(value, str | int | float | bool | list | None):
            event[name] = str(value)
    return event


def _formatter(*last: Any) -> dict[str, Any]:
    add_fields = structlog.stdlib.ExtraAdder(allow=FIELDS)
    return {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": [
            structlog.contextvars.merge_contextvars,
            add_fields,
            _add_request,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        ],
        "processors": [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *last,
        ],
    }


def configuration(
    *, log_format: str, level: str, file_bytes: int, files_kept: int
) -> dict[str, Any]:
    """Return Django's LOGGING.

    The files get everything from `level` on, as JSON. A person at the console gets warnings;
    with the format "json" it is read by a program instead, which gets everything as well.
    """
    people = log_format == "console"
    as_json = _formatter(
        structlog.processors.format_exc_info,
        _add_process,
        _hide_secrets,
        _finite,
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
    )
    as_text = _formatter(
        structlog.processors.format_exc_info,
        _hide_secrets,
        structlog.dev.ConsoleRenderer(
            colors=False, timestamp_key="at", pad_event_to=0, pad_level=False
        ),
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": as_json, "console": as_text},
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "formatter": log_format,
                "level": max(level, "WARNING", key=LEVELS.index) if people else level,
            },
            "file": {
                "class": "mobilesd.logs.files.SharedFile",
                "formatter": "json",
                "name": process_kind(),
                "most_bytes": file_bytes,
                "kept": files_kept,
            },
        },
        "root": {"handlers": ["console", "file"], "level": level},
        "loggers": {
            "django.request": {"level": "ERROR"},
            "django.channels.server": {"level": "WARNING"},
            "daphne": {"level": "WARNING"},
            "django-q": {"level": "WARNING"},
            # At DEBUG these would tell parameters of statements, and the heads of requests.
            **{
                name: {"level": "INFO"}
                for name in ("django.db.backends", "urllib3", "asyncio", "PIL", "websockets")
            },
        },
    }
