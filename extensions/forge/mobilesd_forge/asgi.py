"""The panel's routes as an ASGI application, which Forge's FastAPI mounts like any other."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mobilesd_forge.page_routes import MAX_BODY, Answer, PageRoutes, Request

__all__ = ["PREFIX", "application"]

PREFIX = "/mobilesd/page"

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def application(routes: PageRoutes) -> Callable[[dict[str, Any], Receive, Send], Awaitable[None]]:
    """Return the application. It has threads of its own.

    Forge's 40 threads are those of its generations: a MobileSD that does not answer must not take
    them, and waiting generations must not keep the panel waiting.
    """
    threads = ThreadPoolExecutor(8, thread_name_prefix="mobilesd-page")

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = await _body(receive)
        if body is None:
            await _send(send, Answer(413, {"Content-Type": "text/plain"}, b"Too large."))
            return
        request = Request(
            method=scope["method"],
            path=_inner(scope["path"]),
            headers={
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in scope["headers"]
            },
            body=body,
        )
        loop = asyncio.get_running_loop()
        await _send(send, await loop.run_in_executor(threads, routes.answer, request))

    return app


def _inner(path: str) -> str:
    # What a mount leaves in the path differs between versions of Starlette.
    _, found, rest = path.rpartition(f"{PREFIX}/")
    return (rest if found else path).strip("/")


async def _body(receive: Receive) -> bytes | None:
    """Return the body, or None when it is too large or its sender left."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += bytes(message.get("body", b""))
        if len(body) > MAX_BODY:
            return None
        if not message.get("more_body"):
            return body


async def _send(send: Send, answer: Answer) -> None:
    headers = [
        *(
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in answer.headers.items()
        ),
        (b"content-length", str(len(answer.body)).encode()),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
