"""Looks now and then whether those who listen still may: a few queries for all of them."""

import asyncio
import logging
import time
from typing import Protocol

from channels.db import database_sync_to_async

from apikeys import rights
from apikeys.actors import Actor
from apikeys.rights import Credential

__all__ = ["Guest", "Rounds", "rounds"]

logger = logging.getLogger(__name__)

CHECK_SECONDS = 20.0
ROUNDS_IN_THAT = 10  # clients come in crowds after a restart; they are not looked at in one


class Guest(Protocol):
    """Somebody who was let in, as `actor`, because of `credential`."""

    actor: Actor
    credential: Credential

    def end(self, *, signed_out: bool) -> None:
        """Show them out."""


class Rounds:
    """Looks at each guest every CHECK_SECONDS while there are any."""

    def __init__(self) -> None:
        self._due: dict[Guest, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._due)

    def count_of(self, actor: Actor) -> int:
        """Return how many guests are of the same owner, or key without one; from any thread."""
        # list() of a dict is one step for other threads; a loop over it would not be.
        return sum(guest.actor.scope == actor.scope for guest in list(self._due))

    def add(self, guest: Guest) -> None:
        """Look at this guest from now on; each `add` needs its `remove`."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # the one before has ended, and its guests with it
            self._loop, self._task = loop, None
            self._due.clear()
        self._due[guest] = time.monotonic() + CHECK_SECONDS
        if self._task is None:
            self._task = loop.create_task(self._go())

    def remove(self, guest: Guest) -> None:
        """Forget this guest."""
        self._due.pop(guest, None)
        if not self._due and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _go(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS / ROUNDS_IN_THAT)
            try:
                await self._look(time.monotonic())
            except Exception:  # a busy database shows nobody out; the next round looks again
                logger.exception("It could not be checked who may still listen.")

    async def _look(self, now: float) -> None:
        guests = [guest for guest, due in self._due.items() if due <= now]
        if not guests:
            return
        wanted = {guest.credential for guest in guests}
        actors = await database_sync_to_async(rights.actors)(wanted)
        for guest in guests:
            actor = actors.get(guest.credential)
            if actor != guest.actor:
                guest.end(signed_out=actor is None)
            if guest in self._due:
                self._due[guest] = now + CHECK_SECONDS


rounds = Rounds()
