"""Answers that go on after Django is done with the request: event streams and long polls.

A view that waited would hold one of the few threads that answer requests. So it does what needs
the request (who asks, may they, the limit, the log), answers at once, and leaves a continuation.
That answer is held back: its head, with all that the middlewares wrote into it, goes to the
continuation, which runs on the event loop and sends the real body when there is one.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.http import HttpRequest

__all__ = ["Held", "Holding", "can_hold", "hold"]

_SLOT = "mobilesd.continuation"

_Message = Mapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_Application = Callable[[Any, _Receive, _Send], Awaitable[None]]


class Held:
    """A connection whose client still waits for the answer."""

    def __init__(self, head: _Message, receive: _Receive, send: _Send) -> None:
        self._head = head
        self._receive = receive
        self._send = send

    async def begin(self, status: int, headers: Mapping[str, str | None]) -> None:
        """Send the head; these headers take the place of Django's, None removes one."""
        replaced = {name.lower().encode("ascii") for name in headers} | {b"content-length"}
        kept = [pair for pair in self._head["headers"] if pair[0].lower() not in replaced]
        own = [
            (n.encode("ascii"), v.encode("latin-1")) for n, v in headers.items() if v is not None
        ]
        await self._send({**self._head, "status": status, "headers": [*kept, *own]})

    async def write(self, chunk: bytes) -> None:
        """Send a part of the body."""
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self, chunk: bytes = b"") -> None:
        """Send the last part of the body."""
        await self._send({"type": "http.response.body", "body": chunk})

    async def left(self) -> None:
        """Return when the client is gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


_Continuation = Callable[[Held], Awaitable[None]]


class Holding:
    """The ASGI application around Django's that runs the continuations."""

    def __init__(self, application: _Application) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: _Receive, send: _Send) -> None:
        slot: list[_Continuation] = []
        kept: list[_Message] = []

        async def pass_on(message: _Message) -> None:
            if slot:
                kept.append(message)
            else:
                await send(message)

        await self._application({**scope, _SLOT: slot}, receive, pass_on)
        if kept and kept[0]["status"] == 200:
            await slot[0](Held(kept[0], receive, send))
            return
        for message in kept:  # something went wrong after the view
            await send(message)


def _slot_of(request: Any) -> list[_Continuation] | None:
    plain: HttpRequest = getattr(request, "_request", request)
    slot: list[_Continuation] | None = getattr(plain, "scope", {}).get(_SLOT)
    return slot


def can_hold(request: Any) -> bool:
    """Tell whether this request came in by a way on which an answer can go on (`Holding`)."""
    return _slot_of(request) is not None


def hold(request: Any, continuation: _Continuation) -> None:
    """Let this coroutine send the body, if the view's own answer is a 200.

    It must not refer to the request: that would keep it in memory as long as the stream lives.
    """
    slot = _slot_of(request)
    if slot is None:
        raise RuntimeError("this request can't be held: see can_hold()")
    slot.append(continuation)
