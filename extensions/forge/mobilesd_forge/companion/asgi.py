"""The companion as an ASGI app: what Forge's server mounts."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl

from mobilesd_forge.companion.routes import MAX_BODY, PREFIX, Request, Response, Routes

__all__ = ["asgi_app"]

_CHUNK = 256 * 1024
# Of its own: in Forge's pool of 40 each waiting generation holds a thread, and when all are held
# nobody could even cancel.
_THREADS = 32

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def asgi_app(routes: Routes) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return the app that answers with these routes, to be mounted at PREFIX."""
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="mobilesd-companion")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        loop = asyncio.get_running_loop()
        body = await _read(scope, receive)
        if body is None:
            answer = Response(413, _too_large())
        else:
            answer = await loop.run_in_executor(pool, routes.handle, _request(scope, body))
        await _send(send, answer, lambda chunks: loop.run_in_executor(pool, next, chunks, b""))

    return app


def _headers(scope: Scope) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }


def _request(scope: Scope, body: bytes) -> Request:
    # Starlette's Mount leaves the prefix in the path from 0.33 on, and took it away before.
    path = scope["path"].rpartition(PREFIX)[2]
    query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
    client = (scope.get("client") or ("",))[0]
    return Request(scope["method"], path, query, _headers(scope), body, client)


async def _read(scope: Scope, receive: Receive) -> bytes | None:
    """Return the body, None if it is larger than anything that is sent here."""
    length = _headers(scope).get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_BODY:
        return None
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return None
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return bytes(body)


async def _send(
    send: Send, answer: Response, next_of: Callable[[Iterator[bytes]], Awaitable[bytes]]
) -> None:
    size = len(answer.body) if answer.file is None else answer.file.stat().st_size - answer.offset
    headers = {
        "content-type": "application/json",
        "content-length": str(size),
        "cache-control": "no-store",
        **answer.headers,
    }
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    if answer.file is None:
        await send({"type": "http.response.body", "body": answer.body})
        return
    chunks = _chunks(answer)
    while chunk := await next_of(chunks):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _chunks(answer: Response) -> Iterator[bytes]:
    assert answer.file is not None
    with answer.file.open("rb") as stream:
        stream.seek(answer.offset)
        while chunk := stream.read(_CHUNK):
            yield chunk


def _too_large() -> bytes:
    return json.dumps({"error": "too_large", "message": "The request is too large."}).encode()
