"""Server-sent events, from lines."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Event", "events"]


@dataclass(frozen=True)
class Event:
    """One event. `mark` is the last `id:` of the stream, what `Last-Event-ID` says later."""

    kind: str
    data: dict[str, Any]
    mark: str


def events(lines: Iterable[bytes]) -> Iterator[Event | None]:
    """Yield the events, and None for each comment; what can't be read has no data."""
    kind, data, mark = "", [], ""  # type: str, list[str], str
    for raw in lines:
        line = raw.rstrip(b"\r").decode("utf-8", "replace")
        if not line:
            if data:
                yield Event(kind or "message", _object("\n".join(data)), mark)
            kind, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            yield None
        elif name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif name == "id" and "\0" not in value:
            mark = value


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
