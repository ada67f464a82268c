"""The relay on a real database file: what writers commit reaches the sockets, whatever happens."""

import asyncio
import json
import threading
import time
from contextlib import asynccontextmanager

import pytest
from channels.db import database_sync_to_async
from django.db import connection, connections, transaction
from django.utils import timezone

from jobs import events
from jobs.live import tail
from jobs.live.messages import Message
from jobs.live.relay import PUBLIC, Relay
from jobs.models import Event
from tests.live.sockets import emit

pytestmark = pytest.mark.django_db(transaction=True)


class _Ear:
    """Somebody who listens, and keeps what comes."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Message] = asyncio.Queue()

    def take(self, message: Message) -> None:
        self.heard.put_nowait(message)


@asynccontextmanager
async def listening(relay: Relay, group: str = PUBLIC):
    """Join a group of a relay; yield a function that reads the next message."""
    ear = _Ear()
    await relay.join(ear, [group])

    async def receive():
        message = await asyncio.wait_for(ear.heard.get(), timeout=10)
        return json.loads(message.text)

    try:
        yield receive
    finally:
        relay.leave(ear)


def _write(writer: int, count: int) -> None:
    try:
        for n in range(count):
            with transaction.atomic():
                events.emit("server.status", {"n": [writer, n]}, public=True)
    finally:
        connections.close_all()


async def test_nothing_is_lost_under_four_writers():
    async with listening(Relay()) as receive:
        threads = [threading.Thread(target=_write, args=(w, 100)) for w in range(4)]
        for thread in threads:
            thread.start()
        got = [await receive() for _ in range(400)]
        for thread in threads:
            await asyncio.to_thread(thread.join)
    ids = [message["id"] for message in got]
    assert ids == sorted(set(ids))
    assert {tuple(m["n"]) for m in got} == {(w, n) for w in range(4) for n in range(100)}


async def test_a_rolled_back_event_is_never_sent():
    @database_sync_to_async
    def roll_back():
        with transaction.atomic():
            events.emit("server.status", {"n": "rolled back"}, public=True)
            transaction.set_rollback(True)

    async with listening(Relay()) as receive:
        await roll_back()
        await emit({"n": "kept"}, public=True)
        assert (await receive())["n"] == "kept"


async def test_a_batch_is_sent_whole(monkeypatch):
    monkeypatch.setattr(tail, "BATCH", 7)
    relay = Relay()
    async with listening(relay) as receive:
        await Event.objects.abulk_create(
            Event(kind="server.status", public=True, payload={"n": n}, at=timezone.now())
            for n in range(50)
        )
        assert [(await receive())["n"] for _ in range(50)] == list(range(50))


async def test_it_reconnects_and_goes_on_where_it_was(monkeypatch, caplog):
    """Its connection fails in the middle; what was written meanwhile arrives, once."""
    broken = threading.Event()
    plain = tail.SqliteTail.after if connection.vendor == "sqlite" else tail.PostgresTail.after

    def after(self, position):
        if broken.is_set():
            raise OSError("the disk went away")
        return plain(self, position)

    monkeypatch.setattr(tail._SqlTail, "after", after)
    async with listening(Relay()) as receive:
        await emit({"n": 1}, public=True)
        assert (await receive())["n"] == 1
        broken.set()
        for n in (2, 3, 4):
            await emit({"n": n}, public=True)
        while "the disk went away" not in caplog.text:
            await asyncio.sleep(0.01)
        broken.clear()
        assert [(await receive())["n"] for _ in range(3)] == [2, 3, 4]


async def test_it_begins_with_what_is_new_after_it_stood_still():
    relay = Relay()
    async with listening(relay) as receive:
        await emit({"n": 1}, public=True)
        await receive()
    assert relay.lag_seconds() is None
    while relay._position is not None:  # its thread notices within a second
        await asyncio.sleep(0.02)
    await emit({"n": 2}, public=True)  # nobody is there; whoever comes next reads it from the table
    async with listening(relay) as receive:
        await emit({"n": 3}, public=True)
        assert (await receive())["n"] == 3


async def test_it_can_only_read():
    def write():
        reader = tail.open_tail()
        try:
            reader._database.execute("DELETE FROM jobs_event")
        finally:
            reader.close()

    if connection.vendor != "sqlite":
        pytest.skip("only the SQLite connection is read-only")
    with pytest.raises(Exception, match="readonly"):
        await asyncio.to_thread(write)


@pytest.mark.filterwarnings("ignore:coroutine 'Relay._publish' was never awaited")
def test_it_goes_on_for_the_next_loop_when_one_just_stopped():
    """A loop that stops without a word (a server that is torn down) must not hold the relay."""
    relay = Relay()
    stopped, later = asyncio.new_event_loop(), asyncio.new_event_loop()

    async def listen():
        async with listening(relay) as receive:
            await emit({"n": 2}, public=True)
            return (await receive())["n"]

    try:
        stopped.run_until_complete(relay.join(_Ear(), [PUBLIC]))
        with transaction.atomic():
            events.emit("server.status", {"n": 1}, public=True)
        time.sleep(0.2)  # the relay hands it to the loop that does not run any more
        assert later.run_until_complete(asyncio.wait_for(listen(), 15)) == 2
    finally:
        stopped.close()
        later.close()
