"""The two shapes in which Forge says no, and the end of the server itself."""

from __future__ import annotations

from typing import Any


class RequestRefused(Exception):
    """FastAPI's shape, `{"detail": ...}`: 401, 404, 405, 422, and Forge's own HTTPExceptions."""

    def __init__(self, status: int, detail: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        return {"detail": self.detail}


class PythonError(Exception):
    """Any uncaught exception inside Forge: 500 with its class name and message."""

    status = 500
    headers: dict[str, str] = {}

    def __init__(self, error: str, message: str, body: Any = "") -> None:
        super().__init__(f"{error}: {message}")
        self.error = error
        self.message = message
        self.extra = body

    def body(self) -> dict[str, Any]:
        return {
            "error": self.error,
            "detail": "",
            "body": self.extra,
            "message": self.message,
        }


class ServerStopped(Exception):
    """The fake is being stopped: every waiting thread leaves without an answer."""
