"""The access log's line of an answer that goes on after Django is done with the request."""

import time
from dataclasses import replace
from typing import Any

from django.utils import timezone

from apikeys.access_log import Line, access_log

__all__ = ["NO_ANSWER", "Ending", "ending_of", "note_at_end"]

NO_ANSWER = 0  # the status of a request whose client left before there was one

_ENDING = "_mobilesd_ending"


class Ending:
    """Keeps a line until the answer has ended, and its status, time and bytes are known."""

    def __init__(self) -> None:
        self._line: Line | None = None
        self._kept_at = 0.0

    def keep(self, line: Line) -> None:
        """Take the line as it is when the view has returned."""
        self._line, self._kept_at = line, time.perf_counter()

    def note(self, status: int, size: int, error: str = "") -> None:
        """Write down how it ended; nothing for a request that has no line."""
        if self._line is None:
            return
        waited = (time.perf_counter() - self._kept_at) * 1000
        access_log.note(
            replace(
                self._line,
                at=timezone.now(),
                status=status,
                error=error,
                milliseconds=round(self._line.milliseconds + waited, 2),
                bytes=size,
            )
        )


def note_at_end(request: Any) -> Ending:
    """Let the line of a request wait for its end; whoever calls this must `note` it then.

    If the view's own answer is not a 200, nothing goes on (mobilesd.http.holding), and its line
    is noted at once.
    """
    ending = Ending()
    setattr(getattr(request, "_request", request), _ENDING, ending)
    return ending


def ending_of(request: Any) -> Ending | None:
    """Return what waits for the end of this request, if anything does."""
    found: Ending | None = getattr(request, _ENDING, None)
    return found
