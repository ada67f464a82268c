"""A browser's side of the live socket, and the writers' side of its events."""

from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.db import transaction
from django.test import Client

from jobs import events
from mobilesd.asgi import application

__all__ = ["cookie", "emit", "emit_progress", "events_until", "socket"]


def cookie(user: Any) -> bytes:
    client = Client()
    client.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    return f"{name}={client.cookies[name].value}".encode()


@asynccontextmanager
async def socket(user: Any = None, **query: Any):
    """Open `/ws/events/` as a signed-in user (or nobody)."""
    headers = [(b"origin", b"http://localhost"), (b"host", b"localhost")]
    if user is not None:
        headers.append((b"cookie", await database_sync_to_async(cookie)(user)))
    communicator = WebsocketCommunicator(
        application, f"/ws/events/?{urlencode(query)}", headers=headers
    )
    connected, code = await communicator.connect(timeout=5)
    assert connected, code
    try:
        yield communicator
    finally:
        await communicator.disconnect()


@database_sync_to_async
def emit(payload: dict[str, Any], *, owner: Any = None, public: bool = False, job: Any = None):
    """Write a durable event as a worker does."""
    with transaction.atomic():
        events.emit(
            "job.status",
            payload,
            owner_id=owner.pk if owner else None,
            public=public,
            job_id=job.pk if job else None,
        )


@database_sync_to_async
def emit_progress(job: Any, seq: int) -> None:
    """Write a short-lived event as a lane does."""
    payload = {"job": str(job.pk), "attempt": "t", "seq": seq, "progress": seq / 100}
    with transaction.atomic():
        events.emit_live("job.progress", payload, job_id=job.pk, owner_id=job.owner_id)


async def events_until(communicator: WebsocketCommunicator, last: Any) -> list[dict[str, Any]]:
    """Read messages up to the one whose `n` is `last`."""
    found = []
    while not found or found[-1].get("n") != last:
        found.append(await communicator.receive_json_from(timeout=10))
    return found
