"""What is logged of a call to a backend: never bodies, headers, queries or addresses."""

import logging
import time
from types import TracebackType
from typing import Any, Self

__all__ = ["Call"]

log = logging.getLogger(__name__)


class Call:
    """Log a call when it has ended, with what it took; which server it was says the context.

    `level` DEBUG is for what is asked several times a second.
    """

    __slots__ = ("_began", "_extra", "_level")

    def __init__(self, method: str, path: str, *, sent: int = 0, level: int = logging.INFO) -> None:
        self._level = level
        self._extra: dict[str, Any] = {"method": method, "path": path.partition("?")[0]}
        if sent:
            self._extra["sent"] = sent
        self._began = 0.0

    def answered(self, status: int, received: int) -> None:
        """Note the status of the answer, and how many bytes it had."""
        self._extra |= {"http_status": status, "received": received}

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if self._level > logging.DEBUG:
            log.info("backend call begins", extra=self._extra)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not log.isEnabledFor(self._level):
            return
        self._extra["ms"] = round((time.monotonic() - self._began) * 1000, 1)
        if kind is None:
            log.log(self._level, "backend call", extra=self._extra)
            return
        # The classes of these errors say what happened; a text of theirs may quote an answer.
        cause = type(error.__cause__).__name__ if error and error.__cause__ else ""
        failed = {**self._extra, "error_class": f"{kind.__name__} {cause}".strip()}
        log.log(self._level, "backend call failed", extra=failed)
