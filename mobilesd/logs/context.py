"""What the log lines of this thread or task are about."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from structlog.contextvars import bound_contextvars, get_contextvars

from mobilesd.http.request_ids import is_sane, request_id

__all__ = ["bind", "bound", "request_headers"]


@contextmanager
def bind(**about: object) -> Iterator[None]:
    """Put these names into all lines that are logged inside; empty values are left out.

    A thread that is started inside knows nothing of them: it binds its own.
    """
    with bound_contextvars(**{name: str(value) for name, value in about.items() if value}):
        yield


def bound() -> Mapping[str, Any]:
    """Return what is bound now."""
    return get_contextvars()


def request_headers() -> dict[str, str]:
    """Return the header by which another program's log is matched with ours, if there is an id.

    A job's id may come from an imported file: what could forge a header is not sent.
    """
    found = str(get_contextvars().get("request_id") or request_id())
    return {"X-Request-ID": found} if is_sane(found) else {}
