"""The web process's handler: few threads that stay, and everything closed whatever clients do."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from django.core.signals import request_finished, request_started
from django.db import connection, connections
from django.db.backends.signals import connection_created
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

from mobilesd.http import handler
from mobilesd.http.handler import PooledHandler

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.api.test_handler")]

closed = threading.Event()


def who(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse(threading.current_thread().name + request.GET.get("x", ""))


async def _endless() -> AsyncIterator[bytes]:
    try:
        yield b"first"
        await asyncio.Event().wait()
    finally:
        closed.set()


def endless(request):
    return StreamingHttpResponse(_endless())


def fails(request):
    raise RuntimeError("a fault")


urlpatterns = [path("who", who), path("endless", endless), path("fails", fails)]


class Client:
    """One request over ASGI; `sent` fills up, `leave()` is the client going away."""

    def __init__(self, address: str, body: bytes = b"") -> None:
        self.sent: list[dict] = []
        self._left = asyncio.Event()
        self._got = asyncio.Condition()
        self._messages = [{"type": "http.request", "body": body}]
        place, _, query = address.partition("?")
        self.scope = {
            "type": "http",
            "method": "GET",
            "path": place,
            "query_string": query.encode(),
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }

    async def receive(self) -> dict:
        if self._messages:
            return self._messages.pop()
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict) -> None:
        async with self._got:
            self.sent.append(message)
            self._got.notify_all()

    async def has_sent(self, count: int) -> None:
        async with self._got:
            await self._got.wait_for(lambda: len(self.sent) >= count)

    def leave(self) -> None:
        self._left.set()

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def body(self) -> str:
        return b"".join(m.get("body", b"") for m in self.sent[1:]).decode()


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 600)
    made = PooledHandler()
    yield made
    # The connections of its threads would hold the test's database open.
    for _ in range(handler.THREADS):
        made._pool.submit(connections.close_all)
    made._pool.shutdown()


async def get(web: PooledHandler, address: str) -> Client:
    client = Client(address)
    await web(client.scope, client.receive, client.send)
    return client


async def test_threads_and_their_connections_are_used_again(web):
    opened = []

    def note(**_):
        opened.append(threading.current_thread().name)

    connection_created.connect(note)
    try:
        answers = [await get(web, "/who") for _ in range(30)]
    finally:
        connection_created.disconnect(note)
    names = {answer.body for answer in answers}
    assert {answer.status for answer in answers} == {200}
    assert len(names) < 30
    assert sorted(opened) == sorted(set(opened)), "one connection a thread"


async def test_many_at_once_share_the_threads(web):
    answers = await asyncio.gather(*(get(web, f"/who?x={n}") for n in range(100)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body.rpartition("_")[0] for answer in answers}) == 1
    ends = [answer.body for answer in answers]
    assert all(end.endswith(str(n)) for n, end in enumerate(ends)), "each got its own answer"
    assert threading.active_count() <= handler.THREADS + 20


async def test_a_stream_holds_no_thread_and_ends_with_its_client(web, monkeypatch):
    closed.clear()
    streams = [Client("/endless") for _ in range(handler.THREADS + 5)]
    tasks = [asyncio.ensure_future(web(c.scope, c.receive, c.send)) for c in streams]
    for client in streams:
        await client.has_sent(2)
    assert (await get(web, "/who")).status == 200, "though more streams are open than threads"
    for client in streams:
        client.leave()
    await asyncio.wait_for(asyncio.gather(*tasks), 10)
    assert closed.is_set()


async def test_a_fault_is_a_500_and_the_next_request_is_answered(web):
    assert (await get(web, "/fails")).status == 500
    assert (await get(web, "/who")).status == 200


async def test_django_hears_of_each_request_in_the_thread_that_answers_it(web):
    heard = []

    def start(**_):
        heard.append(("start", threading.current_thread().name))

    def finish(**_):
        heard.append(("finish", threading.current_thread().name))

    request_started.connect(start)
    request_finished.connect(finish)
    try:
        name = (await get(web, "/who")).body
    finally:
        request_started.disconnect(start)
        request_finished.disconnect(finish)
    assert heard == [("start", name), ("finish", name)]


async def test_a_client_that_leaves_early_costs_nothing(web):
    client = Client("/who")
    client._messages = [{"type": "http.disconnect"}]
    await web(client.scope, client.receive, client.send)
    assert client.sent == []


async def test_a_request_that_is_cancelled_while_it_is_answered_closes_its_stream(web):
    closed.clear()
    begun, go_on = threading.Event(), threading.Event()

    def slow(request):
        begun.set()
        go_on.wait(10)
        return endless(request)

    urlpatterns.append(path("slow", slow))
    client = Client("/slow")
    task = asyncio.ensure_future(web(client.scope, client.receive, client.send))
    await asyncio.to_thread(begun.wait, 10)
    finished = threading.Event()
    request_finished.connect(lambda **_: finished.set(), weak=False, dispatch_uid="cancelled")
    task.cancel()
    go_on.set()
    try:
        assert await asyncio.to_thread(finished.wait, 10)
    finally:
        request_finished.disconnect(dispatch_uid="cancelled")
        urlpatterns.pop()
