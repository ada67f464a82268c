"""What a browser gets over `/ws/events/`."""

import asyncio
import json
import uuid

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.sessions.models import Session
from django.core.cache import cache

from jobs.choices import Status
from jobs.live import consumers, replay, rounds, subscription
from jobs.live.relay import relay
from jobs.models import Epoch, Event
from jobs.signals import job_watched
from mobilesd.asgi import application
from tests import factories
from tests.live.sockets import emit, emit_progress, events_until, socket

pytestmark = pytest.mark.django_db(transaction=True)
in_thread = database_sync_to_async


@pytest.fixture
def member():
    return factories.user()


async def _hello(browser):
    hello = await browser.receive_json_from(timeout=5)
    assert hello["type"] == "hello"
    return hello


async def _snapshot() -> int:
    """Return the id that a page made now would name."""
    await emit({"n": "before"}, public=True)
    return await in_thread(Event.objects.last_id)()


async def test_hello_names_the_newest_event_and_the_epoch(member):
    await emit({"n": 1}, public=True)
    newest = await in_thread(Event.objects.last_id)()
    async with socket(member) as browser:
        hello = await _hello(browser)
        assert hello == {
            "type": "hello",
            "last_event_id": newest,
            "epoch": str((await Epoch.objects.aget()).value),
        }
        assert await browser.receive_nothing(0.1)


async def test_an_event_arrives_with_its_id_and_payload(member):
    async with socket(member) as browser:
        await _hello(browser)
        await emit({"job": "x", "status": "pending"}, owner=member)
        message = await browser.receive_json_from(timeout=5)
        newest = await in_thread(Event.objects.last_id)()
        assert message == {"type": "job.status", "id": newest, "job": "x", "status": "pending"}


async def test_missed_events_come_first_and_in_order(member):
    start = await _snapshot()
    for n in range(5):
        await emit({"n": n}, owner=member)
    async with socket(member, after=start) as browser:
        await _hello(browser)
        await emit({"n": 5}, owner=member)
        assert [m["n"] for m in await events_until(browser, 5)] == [0, 1, 2, 3, 4, 5]


async def test_nothing_is_lost_or_doubled_while_a_socket_connects(member):
    start = await _snapshot()

    async def write() -> None:
        for n in range(60):
            await emit({"n": n}, owner=member)

    writing = asyncio.create_task(write())
    for _ in range(3):  # a phone that connects again and again meanwhile
        async with socket(member, after=start) as browser:
            await _hello(browser)
            got = await events_until(browser, 59)
            assert [m["n"] for m in got] == list(range(60))
    await writing


async def test_an_unknown_or_foreign_id_resets_the_page(member):
    await emit({"n": 0}, owner=member)
    newest = await in_thread(Event.objects.last_id)()
    for query in (
        {"after": newest + 1},
        {"after": "rubbish"},
        {"after": -1},
        {"after": "9" * 400},
        {"after": newest, "epoch": uuid.uuid4()},
    ):
        async with socket(member, **query) as browser:
            assert (await _hello(browser))["last_event_id"] == newest
            assert await browser.receive_json_from(timeout=5) == {"type": "reset"}
            assert await browser.receive_nothing(0.05)


async def test_an_id_whose_successors_were_pruned_resets_the_page(member):
    start = await _snapshot()
    for n in range(3):
        await emit({"n": n}, owner=member)
    newest = await in_thread(Event.objects.last_id)()
    await Event.objects.filter(id__lt=newest).adelete()
    async with socket(member, after=start) as browser:
        await _hello(browser)
        assert await browser.receive_json_from(timeout=5) == {"type": "reset"}


async def test_too_much_missed_resets_the_page(member, monkeypatch):
    monkeypatch.setattr(replay, "MAX_ROWS", 3)
    start = await _snapshot()
    for n in range(4):
        await emit({"n": n}, owner=member)
    async with socket(member, after=start) as browser:
        await _hello(browser)
        assert await browser.receive_json_from(timeout=5) == {"type": "reset"}
        await emit({"n": 4}, owner=member)
        assert (await browser.receive_json_from(timeout=5))["n"] == 4


async def test_a_member_gets_own_and_public_events_only(member):
    other = await in_thread(factories.user)()
    start = await _snapshot()

    async def write(prefix: str) -> None:
        await emit({"n": f"{prefix} other's"}, owner=other)
        await emit({"n": f"{prefix} nobody's"})
        await emit({"n": f"{prefix} own"}, owner=member)
        await emit({"n": f"{prefix} public"}, public=True)

    await write("missed")
    async with socket(member, after=start) as browser:
        await _hello(browser)
        await write("live")
        got = [m["n"] for m in await events_until(browser, "live public")]
    assert got == ["missed own", "missed public", "live own", "live public"]


async def test_staff_get_everything_once(member):
    boss = await in_thread(factories.staff)()
    async with socket(boss) as browser:
        await _hello(browser)
        await emit({"n": "member's"}, owner=member)
        await emit({"n": "own"}, owner=boss)
        await emit({"n": "nobody's"})
        await emit({"n": "public"}, public=True)
        got = [m["n"] for m in await events_until(browser, "public")]
    assert got == ["member's", "own", "nobody's", "public"]


async def test_nobody_is_told_to_sign_in():
    async with socket() as browser:
        message = await browser.receive_output(timeout=5)
        assert message == {"type": "websocket.close", "code": 4401}


async def test_another_site_is_refused(member):
    communicator = WebsocketCommunicator(
        application, "/ws/events/", headers=[(b"origin", b"http://evil.example")]
    )
    connected, _ = await communicator.connect()
    assert not connected


@pytest.mark.parametrize("change", ["session", "user"])
async def test_a_socket_is_closed_when_its_session_or_user_ends(member, monkeypatch, change):
    monkeypatch.setattr(rounds, "CHECK_SECONDS", 0.1)
    async with socket(member) as browser:
        await _hello(browser)
        if change == "session":
            await Session.objects.all().adelete()
            await in_thread(cache.clear)()
        else:
            member.is_active = False
            await member.asave()
        message = await browser.receive_output(timeout=5)
        assert message == {"type": "websocket.close", "code": 4401}


async def test_a_member_who_loses_staff_rights_is_sent_back_to_connect_again(monkeypatch):
    monkeypatch.setattr(rounds, "CHECK_SECONDS", 0.1)
    boss = await in_thread(factories.staff)()
    async with socket(boss) as browser:
        await _hello(browser)
        boss.is_staff = False
        await boss.asave()
        message = await browser.receive_output(timeout=5)
        assert message == {"type": "websocket.close", "code": 4409}


async def test_progress_has_no_id_and_names_attempt_and_seq(member):
    job = await in_thread(factories.job)(Status.PROCESSING, owner=member)
    async with socket(member) as browser:
        await _hello(browser)
        await emit_progress(job, 7)
        message = await browser.receive_json_from(timeout=5)
        assert message == {
            "type": "job.progress",
            "job": str(job.pk),
            "attempt": "t",
            "seq": 7,
            "progress": 0.07,
        }


async def test_progress_is_not_replayed(member):
    job = await in_thread(factories.job)(Status.PROCESSING, owner=member)
    await emit_progress(job, 1)
    async with socket(member, after=await in_thread(Event.objects.last_id)()) as browser:
        await _hello(browser)
        assert await browser.receive_nothing(0.15)


async def test_a_slow_browser_gets_merged_progress_and_every_durable_event(member, monkeypatch):
    """While a send hangs, progress is merged per job; durable events beyond 50 are read again."""
    job = await in_thread(factories.job)(Status.PROCESSING, owner=member)
    free = asyncio.Event()
    queued, taken = [], []
    plain_send = consumers.EventsConsumer.send
    plain_take = subscription.Subscription.take

    async def slow_send(self, text_data=None, bytes_data=None, close=False):
        if json.loads(text_data)["type"] != "hello":
            await free.wait()
        await plain_send(self, text_data, bytes_data, close)

    def take(self, message):
        plain_take(self, message)
        taken.append(message)
        queued.append((len(self._durable), len(self._live)))

    def all_taken():
        # How many of the short-lived ones come is the relay's: it merges what it reads at once.
        last = any('"seq":110' in message.text for message in taken)
        return last and sum(message.position is not None for message in taken) == 120

    monkeypatch.setattr(consumers.EventsConsumer, "send", slow_send)
    monkeypatch.setattr(subscription.Subscription, "take", take)
    async with socket(member) as browser:
        await _hello(browser)
        for n in range(120):
            await emit({"n": n}, owner=member)
            if n % 10 == 0:
                await emit_progress(job, n)
        while not all_taken():
            await asyncio.sleep(0.01)
        free.set()
        got = await events_until(browser, 119)
        progress = [m for m in got if m["type"] == "job.progress"]
        if not progress:
            progress = [await browser.receive_json_from(timeout=5)]
        assert [m["n"] for m in got if "n" in m] == list(range(120))
        assert [m["seq"] for m in progress] == [110]
    assert max(durable for durable, _ in queued) == subscription.QUEUED_EVENTS
    assert max(live for _, live in queued) == 1


async def test_watching_a_running_job_is_passed_on_once_in_five_seconds(member, monkeypatch):
    monkeypatch.setattr(consumers, "_watched", {})
    told = []

    def listen(server_alias, **_):
        told.append(server_alias)

    other = await in_thread(factories.user)()
    own = await in_thread(factories.job)(Status.PROCESSING, owner=member, server_alias="gpu")
    waiting = await in_thread(factories.job)(Status.PENDING, owner=member)
    foreign = await in_thread(factories.job)(Status.PROCESSING, owner=other, server_alias="b")
    job_watched.connect(listen)
    try:
        async with socket(member) as browser:
            await _hello(browser)
            for job in (foreign, waiting, own, own, own):
                await browser.send_json_to({"type": "watch", "job": str(job.pk)})
            await emit({"n": 1}, owner=member)
            await events_until(browser, 1)
        async with socket(member) as browser:  # another tab
            await _hello(browser)
            await browser.send_json_to({"type": "watch", "job": str(own.pk)})
            await emit({"n": 2}, owner=member)
            await events_until(browser, 2)
    finally:
        job_watched.disconnect(listen)
    assert told == ["gpu"]


@pytest.mark.parametrize("text", ["rubbish", "[]", '{"type": "watch", "job": 5}', "[" * 50_000])
async def test_a_message_that_is_no_message_closes_the_socket(member, text):
    async with socket(member) as browser:
        await _hello(browser)
        await browser.send_to(text_data=text)
        message = await browser.receive_output(timeout=5)
        assert message == {"type": "websocket.close", "code": 4400}


async def test_the_relay_stands_still_without_sockets(member):
    assert relay.lag_seconds() is None
    async with socket(member) as browser:
        await _hello(browser)
        await emit({"n": 1}, owner=member)
        await events_until(browser, 1)
        assert relay.lag_seconds() < 2
    assert relay.lag_seconds() is None
