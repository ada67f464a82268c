"""ETags of answers that are made of rows, and the 304 that spares sending them again."""

from hashlib import blake2b
from typing import Any

from django.http import HttpResponse
from django.utils.http import parse_etags

from mobilesd.http.codec import JSONRenderer
from mobilesd.http.files import VOLATILE

__all__ = ["asks_for_changes", "etag_of", "still_has", "tag", "unchanged"]

_renderer = JSONRenderer()


def etag_of(value: Any) -> str:
    """Return a weak ETag of a JSON value."""
    return f'W/"{blake2b(_renderer.render(value), digest_size=12).hexdigest()}"'


def asks_for_changes(request: Any) -> bool:
    """Tell whether the client names what it has (`If-None-Match`)."""
    return "If-None-Match" in request.headers


def still_has(request: Any, etag: str) -> bool:
    """Tell whether what the client has is still current; weak comparison (RFC 9110, 8.8.3.2)."""
    given = parse_etags(request.headers.get("If-None-Match", ""))
    bare = etag.removeprefix("W/")
    return "*" in given or any(known.removeprefix("W/") == bare for known in given)


def tag(response: Any, etag: str) -> Any:
    """Let clients keep this answer, if they ask each time whether it is still current."""
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = VOLATILE
    return response


def unchanged(etag: str) -> HttpResponse:
    """Return the 304."""
    response = HttpResponse(status=304)
    del response.headers["Content-Type"]
    tag(response, etag)
    return response
