"""A program's side of an answer that goes on: over ASGI, as a server would run it."""

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from asgiref.testing import ApplicationCommunicator

from mobilesd.asgi import application

__all__ = ["Connection", "connection"]

PATIENCE = 10.0


class Connection:
    """One request, and what came back so far."""

    def __init__(self, communicator: ApplicationCommunicator) -> None:
        self._communicator = communicator
        self._text = ""
        self.status = 0
        self.headers: dict[str, str] = {}

    async def begin(self) -> None:
        """Wait for the head of the answer."""
        head = await self._communicator.receive_output(PATIENCE)
        self.status = head["status"]
        self.headers = {name.decode().lower(): value.decode() for name, value in head["headers"]}

    async def body(self) -> Any:
        """Return the whole answer, as JSON if there is any."""
        raw = b""
        while True:
            part = await self._communicator.receive_output(PATIENCE)
            raw += part.get("body", b"")
            if not part.get("more_body", False):
                return json.loads(raw) if raw else None

    async def silent(self, seconds: float = 0.2) -> bool:
        """Tell whether nothing comes."""
        return await self._communicator.receive_nothing(seconds) and not self._text

    async def block(self) -> dict[str, str] | None:
        """Return the fields of the next block of an event stream; None at its end."""
        while "\n\n" not in self._text:
            part = await self._communicator.receive_output(PATIENCE)
            self._text += part.get("body", b"").decode()
            if not part.get("more_body", False):
                return None
        block, self._text = self._text.split("\n\n", 1)
        return dict(
            line.split(": ", 1) if ": " in line else (line, "") for line in block.split("\n")
        )

    async def event(self) -> dict[str, Any] | None:
        """Return the next event: its data, and its id as `mark`; None at the end."""
        while (block := await self.block()) is not None:
            if "data" in block:
                data = json.loads(block["data"])
                assert block["event"] == data["type"]
                return data | ({"mark": block["id"]} if "id" in block else {})
        return None

    async def events_until(self, last: Any) -> list[dict[str, Any]]:
        """Return events up to the one whose `n` is `last`."""
        found: list[dict[str, Any]] = []
        while not found or found[-1].get("n") != last:
            event = await self.event()
            assert event is not None, found
            found.append(event)
        return found

    async def leave(self) -> None:
        """Hang up, and wait until the application has noticed."""
        await self._communicator.send_input({"type": "http.disconnect"})
        ended, _ = await asyncio.wait({self._communicator.future}, timeout=PATIENCE)
        assert ended, "the application goes on although its client is gone"


@asynccontextmanager
async def connection(
    path: str, token: str = "", *, headers: dict[str, str] | None = None, **query: Any
):
    """Send a GET with a key; yield the connection once its head has come."""
    given = {"host": "localhost", **(headers or {})}
    if token:
        given["authorization"] = f"Api-Key {token}"
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": urlencode(query, doseq=True).encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 50000),
    }
    communicator = ApplicationCommunicator(application, scope)
    await communicator.send_input({"type": "http.request", "body": b""})
    opened = Connection(communicator)
    try:
        yield opened
    finally:
        if not communicator.future.done():
            await opened.leave()
        await asyncio.sleep(0)
