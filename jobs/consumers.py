"""The live events of one browser (design §9)."""

import asyncio
import contextlib
import json
import logging
import time
from collections import deque
from importlib import import_module
from typing import Any, cast
from urllib.parse import parse_qs
from uuid import UUID

from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings
from django.db import transaction

from apikeys.actors import Actor
from jobs import replay
from jobs.choices import Status
from jobs.models import Job
from jobs.relay import PUBLIC, STAFF, relay, user_group
from jobs.signals import job_watched

__all__ = ["EventsConsumer"]

logger = logging.getLogger(__name__)

SIGNED_OUT = 4401
NOT_UNDERSTOOD = 4400
RIGHTS_CHANGED = 4409

QUEUED_EVENTS = 50
WATCHED_JOBS = 16
CHECK_SECONDS = 20.0
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


def _number(text: str | None) -> int | None:
    """Return a whole number that an id column can hold; anything else counts as unknown."""
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > 18:
        return None
    return int(text)


class EventsConsumer(AsyncJsonWebsocketConsumer):
    """`/ws/events/?after=<event id>&epoch=<epoch>`: hello, what was missed, then what happens.

    One task does all the sending. Whatever a queue dropped, at the start, for a slow client or in
    the channel layer, is read again from the table by the last id sent: `_behind` asks for that.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._actor: Actor | None = None
        self._groups: list[str] = []
        self._serials: dict[str, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._durable: deque[dict[str, Any]] = deque()
        self._live: dict[tuple[str, str | None], dict[str, Any]] = {}
        self._behind = False
        self._wake = asyncio.Event()
        self._last_id = 0
        self._asked: dict[UUID, float] = {}

    async def __call__(self, *args: Any, **kwargs: Any) -> None:
        try:
            await super().__call__(*args, **kwargs)
        finally:  # also when the server cancels this socket without a disconnect message
            await self._clean_up()

    async def connect(self) -> None:
        await self.accept()  # only an open socket can tell the browser why it is closed
        user = self.scope["user"]
        if user is None or not user.is_authenticated:
            await self.close(code=SIGNED_OUT)
            return
        self._actor = Actor.of_user(user)
        # Listening comes before reading: what is committed in between arrives twice, never not.
        await relay.join()
        own = [STAFF] if self._actor.sees_all_jobs else [user_group(user.pk)]
        for group in [PUBLIC, *own]:
            await self.channel_layer.group_add(group, self.channel_name)
            self._serials[group] = relay.serials[group]
            self._groups.append(group)
        self._tasks = [
            asyncio.create_task(self._guarded(self._send_all())),
            asyncio.create_task(self._guarded(self._check_now_and_then())),
        ]

    async def _clean_up(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._actor is not None:
            relay.leave()
        for group in self._groups:
            await self.channel_layer.group_discard(group, self.channel_name)

    async def _guarded(self, work: Any) -> None:
        """Close the socket when its task fails: the browser comes back and catches up."""
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception:
            logger.exception("A live socket failed; its browser connects again and catches up.")
            with contextlib.suppress(Exception):
                await self.close(code=1011)

    # --- Sending ------------------------------------------------------------------------------

    async def _send_all(self) -> None:
        await self._greet()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._behind or self._durable or self._live:
                if self._behind:
                    self._behind = False
                    await self._catch_up()
                elif self._durable:
                    await self._send_durable(self._durable.popleft())
                else:
                    await self.send_json(self._live.pop(next(iter(self._live))))

    async def _greet(self) -> None:
        query = parse_qs(self.scope["query_string"].decode("latin-1"))
        asked = query.get("after", [None])[0]
        epoch = query.get("epoch", [None])[0]
        standing = await database_sync_to_async(replay.standing)()
        await self.send_json(
            {"type": "hello", "last_event_id": standing.last_event_id, "epoch": standing.epoch}
        )
        after = _number(asked)
        if epoch not in (None, standing.epoch) or (asked is not None and after is None):
            await self.send_json({"type": "reset"})
            after = None
        self._last_id = standing.last_event_id if after is None else after
        await self._catch_up()

    async def _catch_up(self) -> None:
        assert self._actor is not None
        found = await database_sync_to_async(replay.missed)(self._actor, self._last_id)
        if found.messages is None:
            await self.send_json({"type": "reset"})
        for message in found.messages or ():
            await self._send_durable(message)
        self._last_id = found.last_event_id

    async def _send_durable(self, message: dict[str, Any]) -> None:
        if message["id"] > self._last_id:
            self._last_id = message["id"]
            await self.send_json(message)

    # --- What comes in ------------------------------------------------------------------------

    async def dispatch(self, message: Any) -> None:
        # The stock dispatch hops to a thread, to close old connections, for each message: with
        # 150 sockets that took over a second an event. Taking one needs no database.
        if message["type"] == "relayed.event":
            self._take(message)
        else:
            await super().dispatch(message)

    def _take(self, message: dict[str, Any]) -> None:
        """Take an event from the relay; quick, so that the layer's queue never fills."""
        if message["relay"] != relay.key:
            return
        kind, payload, group = message["kind"], message["payload"], message["group"]
        if not message["durable"]:
            self._live[kind, message["job"]] = replay.wire(None, kind, payload)
        else:
            dropped = message["serial"] > self._serials[group] + 1
            self._serials[group] = message["serial"]
            if dropped or len(self._durable) >= QUEUED_EVENTS:
                self._durable.clear()
                self._behind = True
            elif not self._behind:
                self._durable.append(replay.wire(message["id"], kind, payload))
        self._wake.set()

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

    async def _check_now_and_then(self) -> None:
        """Close when the session ended or the rights changed; heal what the layer lost last."""
        sessions = import_module(settings.SESSION_ENGINE)
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            session = sessions.SessionStore(self.scope["session"].session_key)
            user = await get_user(cast("Any", {"session": session}))
            if not user.is_authenticated:
                return await self.close(code=SIGNED_OUT)
            if Actor.of_user(user) != self._actor:
                return await self.close(code=RIGHTS_CHANGED)
            for group in self._groups:
                await self.channel_layer.group_add(group, self.channel_name)
            self._behind = True
            self._wake.set()
