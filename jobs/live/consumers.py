"""The live events of one browser (design §9)."""

import asyncio
import contextlib
import json
import logging
import time
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import transaction

from apikeys.actors import Actor
from apikeys.rights import Credential
from jobs.choices import Status
from jobs.live.subscription import Ended, Since, Subscription
from jobs.models import Job
from jobs.signals import job_watched

__all__ = ["EventsConsumer"]

logger = logging.getLogger(__name__)

SIGNED_OUT = 4401
NOT_UNDERSTOOD = 4400
RIGHTS_CHANGED = 4409

WATCHED_JOBS = 16
WATCH_SECONDS = 5.0

_watched: dict[str, float] = {}  # server alias -> when this process last said so


def _watch(actor: Actor, job_id: UUID) -> None:
    """Say that somebody looks at a running job, at most once in WATCH_SECONDS for a server."""
    alias = (
        Job.objects.visible_to(actor)
        .filter(pk=job_id, status=Status.PROCESSING)
        .values_list("server_alias", flat=True)
        .first()
    )
    now = time.monotonic()
    if not alias or now - _watched.get(alias, -WATCH_SECONDS) < WATCH_SECONDS:
        return
    _watched[alias] = now
    with transaction.atomic():
        job_watched.send(sender=Job, server_alias=alias)


class EventsConsumer(AsyncWebsocketConsumer):
    """`/ws/events/?after=<event id>&epoch=<epoch>`: hello, what was missed, then what happens.

    One task does all the sending; what it sends is decided in jobs/live/subscription.py.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._actor: Actor | None = None
        self._sending: asyncio.Task[None] | None = None
        self._asked: dict[UUID, float] = {}

    async def __call__(self, *args: Any, **kwargs: Any) -> None:
        try:
            await super().__call__(*args, **kwargs)
        finally:  # also when the server cancels this socket without a disconnect message
            if self._sending is not None:
                self._sending.cancel()

    async def connect(self) -> None:
        await self.accept()  # only an open socket can tell the browser why it is closed
        user, session = self.scope["user"], self.scope["session"]
        if user is None or not user.is_authenticated:
            await self.close(code=SIGNED_OUT)
            return
        self._actor = Actor.of_user(user)
        subscription = Subscription(
            self._actor,
            Credential(session_key=session.session_key or ""),
            Since.of_query(self.scope["query_string"]),
        )
        self._sending = asyncio.create_task(self._send_all(subscription))

    async def _send_all(self, subscription: Subscription) -> None:
        try:
            async with subscription:
                while message := await subscription.next():
                    await self.send(text_data=message.text)
        except Ended as ended:
            await self.close(code=SIGNED_OUT if ended.signed_out else RIGHTS_CHANGED)
        except Exception:  # the browser connects again and catches up
            logger.exception("A live socket failed; its browser connects again and catches up.")
            with contextlib.suppress(Exception):
                await self.close(code=1011)

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any
    ) -> None:
        try:
            message = json.loads(text_data or "")
            job_id = UUID(message["job"]) if message["type"] == "watch" else None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            await self.close(code=NOT_UNDERSTOOD)
            return
        if job_id is not None and self._actor is not None and self._may_ask(job_id):
            await database_sync_to_async(_watch)(self._actor, job_id)

    def _may_ask(self, job_id: UUID) -> bool:
        """Tell whether this socket's turn to ask about a job has come; bounds its queries."""
        now = time.monotonic()
        self._asked = {job: at for job, at in self._asked.items() if now - at < WATCH_SECONDS}
        if job_id in self._asked or len(self._asked) >= WATCHED_JOBS:
            return False
        self._asked[job_id] = now
        return True
