"""Noticing that something changed, without asking for it in vain.

On SQLite `PRAGMA data_version` moves with every commit of another connection and costs
microseconds; only then the lane's own row is read. PostgreSQL has no such thing: there the row
itself is read.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from dispatch.models import Server

__all__ = ["Glance", "Watcher"]

_FIELDS = (
    "wake_seq",
    "enabled",
    "paused",
    "health",
    "interrupt",
    "watched_until",
    "url",
    "username",
    "sealed_password",
    "sealed_companion_token",
    "poisoned_by",
    "loaded_checkpoint",
    "yield_below_mb",
    "yields_since",
)


@dataclass(frozen=True)
class Glance:
    """What a lane needs of its own row."""

    wake_seq: int
    enabled: bool
    paused: bool
    health: str
    interrupt: str
    watched_until: datetime | None
    url: str
    username: str
    sealed_password: str
    sealed_companion_token: str
    poisoned_by: str
    loaded_checkpoint: str
    yield_below_mb: int | None
    yields_since: datetime | None

    @property
    def address(self) -> tuple[str, ...]:
        """Return what a change of makes the lane connect anew."""
        return self.url, self.username, self.sealed_password, self.sealed_companion_token


class Watcher:
    """Reads the lane's row again only when the database has moved."""

    def __init__(self, server_id: int) -> None:
        self._server_id = server_id
        self._version: Any = None
        self._glance: Glance | None = None

    def look(self) -> Glance | None:
        """Return the present state of the row, or None if the server was deleted."""
        if self._moved() or self._glance is None:
            values = Server.objects.filter(pk=self._server_id).values(*_FIELDS).first()
            self._glance = Glance(**values) if values else None
        return self._glance

    def _moved(self) -> bool:
        if connection.vendor != "sqlite":
            return True
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA data_version")
            version = cursor.fetchone()[0]
        moved = bool(version != self._version)
        self._version = version
        return moved

    def forget(self) -> None:
        """Read the row at the next look: `data_version` leaves out our own commits."""
        self._glance = None
