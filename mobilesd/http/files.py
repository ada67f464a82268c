"""Files as answers: streamed, private, never guessed at by the browser."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any, cast

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.http import content_disposition_header

__all__ = ["IMMUTABLE", "VOLATILE", "file_answer"]

# "private": a shared cache must not hand one member's picture to another.
IMMUTABLE = "private, max-age=31536000, immutable"
VOLATILE = "private, no-cache"
_CHUNK = 512 * 1024


async def _chunks(stream: IO[bytes]) -> AsyncIterator[bytes]:
    with stream:
        while chunk := await sync_to_async(stream.read, thread_sensitive=False)(_CHUNK):
            yield chunk


def _streamed(request: HttpRequest, stream: IO[bytes], size: int) -> HttpResponseBase:
    if not isinstance(request, ASGIRequest):
        return FileResponse(stream)
    # From a plain file, Django would read all of it before an ASGI server got the first byte.
    return StreamingHttpResponse(_chunks(stream), headers={"Content-Length": str(size)})


def file_answer(
    request: Any, path: Path, *, mime: str, etag: str, filename: str, cache: str
) -> HttpResponseBase:
    """Return the file, or 304 if the client has it; raise FileNotFoundError.

    `etag` is what identifies the content, without quotes.
    """
    plain: HttpRequest = getattr(request, "_request", request)
    quoted = f'"{etag}"'
    stream = path.open("rb")
    size = os.fstat(stream.fileno()).st_size
    answer: HttpResponseBase | None = get_conditional_response(plain, etag=quoted)
    if answer is not None:
        stream.close()
    elif plain.method == "HEAD":
        answer = HttpResponse(headers={"Content-Length": str(size)})
        stream.close()
    else:
        answer = _streamed(plain, stream, size)
    answer.headers["ETag"] = quoted
    answer.headers["Cache-Control"] = cache
    patch_vary_headers(cast("HttpResponse", answer), ["Cookie", "Authorization", "X-API-Key"])
    if answer.status_code == 200:
        answer.headers["Content-Type"] = mime
        answer.headers["Content-Disposition"] = content_disposition_header(False, filename) or ""
        answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer
