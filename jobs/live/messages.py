"""One event on its way to clients."""

import json
from typing import Any

__all__ = ["Message"]


class Message:
    """An event as clients get it; its JSON is made once, however many get it.

    `position` is where a client that has it goes on later; short-lived events have none. `job` is
    the hexadecimal id of the job that the event is about.
    """

    __slots__ = ("job", "kind", "position", "text")

    def __init__(
        self, kind: str, payload: dict[str, Any], *, position: int | None = None, job: str = ""
    ) -> None:
        self.kind = kind
        self.job = job
        self.position = position
        self.text = json.dumps({**payload, "type": kind}, separators=(",", ":"))

    @classmethod
    def of_event(
        cls, event_id: int | None, kind: str, job: str, payload: dict[str, Any]
    ) -> "Message":
        """Return the message of an event row; short-lived ones have no id."""
        known = payload if event_id is None else {**payload, "id": event_id}
        return cls(kind, known, position=event_id, job=job)

    def as_sse(self, epoch: str) -> bytes:
        """Return a server-sent event; its id holds for this life of the event ids only."""
        mark = "" if self.position is None else f"id: {epoch}:{self.position}\n"
        return f"event: {self.kind}\n{mark}data: {self.text}\n\n".encode()
