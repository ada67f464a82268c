"""What a program gets from `GET /api/v2/events`."""

import asyncio
import uuid

import pytest
from channels.db import database_sync_to_async
from django.db import transaction

from apikeys import services
from apikeys.actors import SYSTEM
from apikeys.models import ApiKey
from jobs import events
from jobs.api import streams
from jobs.choices import Status
from jobs.live import replay, rounds
from jobs.live.relay import relay
from jobs.models import Epoch, Event
from tests import factories
from tests.live.sockets import cookie, emit, emit_progress
from tests.streams.connections import connection

pytestmark = pytest.mark.django_db(transaction=True)
in_thread = database_sync_to_async
EVENTS = "/api/v2/events"


async def _hello(stream):
    await stream.begin()
    assert stream.status == 200
    assert "retry" in await stream.block()
    hello = await stream.event()
    assert hello["type"] == "hello"
    return hello


async def _snapshot() -> int:
    await emit({"n": "before"}, public=True)
    return await in_thread(Event.objects.last_id)()


async def test_a_stream_says_where_it_stands_and_what_it_is(token):
    newest = await _snapshot()
    async with connection(EVENTS, token) as stream:
        hello = await _hello(stream)
        epoch = str((await Epoch.objects.aget()).value)
        assert hello == {
            "type": "hello",
            "last_event_id": newest,
            "epoch": epoch,
            "mark": f"{epoch}:{newest}",
        }
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        assert "content-length" not in stream.headers
        # What every answer has is here as well.
        assert stream.headers["x-request-id"]
        assert stream.headers["x-content-type-options"] == "nosniff"
        assert int(stream.headers["x-ratelimit-remaining"]) > 0
        assert await stream.silent()


async def test_an_event_arrives_with_its_id_and_payload(member, token):
    async with connection(EVENTS, token) as stream:
        hello = await _hello(stream)
        await emit({"job": "x", "text": "two\nlines"}, owner=member)
        newest = await in_thread(Event.objects.last_id)()
        assert await stream.event() == {
            "type": "job.status",
            "id": newest,
            "job": "x",
            "text": "two\nlines",
            "mark": f"{hello['epoch']}:{newest}",
        }


async def test_progress_has_no_id(member, token):
    job = await in_thread(factories.job)(Status.PROCESSING, owner=member)
    async with connection(EVENTS, token) as stream:
        await _hello(stream)
        await emit_progress(job, 7)
        progress = await stream.event()
        assert (progress["type"], progress["seq"]) == ("job.progress", 7)
        assert not {"id", "mark"} & set(progress)


async def test_a_key_of_nobody_gets_the_progress_of_its_own_jobs(transactional_db):
    key, token = await in_thread(factories.key)(None)
    job = await in_thread(factories.job)(Status.PROCESSING, api_key=key)
    other = await in_thread(factories.job)(Status.PROCESSING)
    async with connection(EVENTS, token) as stream:
        await _hello(stream)
        await emit_progress(other, 6)
        await emit_progress(job, 7)
        progress = await stream.event()
        assert (progress["type"], progress["seq"]) == ("job.progress", 7)


@pytest.mark.parametrize("how", ["mark", "id", "after"])
async def test_missed_events_come_first_and_in_order(member, token, how):
    start = await _snapshot()
    epoch = str((await Epoch.objects.aget_or_create(pk=1))[0].value)
    for n in range(5):
        await emit({"n": n}, owner=member)
    last_id = {"mark": f"{epoch}:{start}", "id": str(start), "after": ""}[how]
    headers = {"Last-Event-ID": last_id} if last_id else {}
    async with connection(
        EVENTS, token, headers=headers, after=start if how == "after" else 0
    ) as s:
        await _hello(s)
        await emit({"n": 5}, owner=member)
        assert [m["n"] for m in await s.events_until(5)] == [0, 1, 2, 3, 4, 5]


async def test_nothing_is_lost_or_doubled_by_reconnecting_while_events_are_written(member, token):
    """Hang up again and again, wherever it is, and go on with the last id."""

    async def write() -> None:
        for n in range(150):
            await emit({"n": n}, owner=member)

    got: list[int] = []
    await _snapshot()
    async with connection(EVENTS, token) as stream:
        mark = (await _hello(stream))["mark"]
    writing = asyncio.create_task(write())
    while not got or got[-1] != 149:
        async with connection(EVENTS, token, headers={"Last-Event-ID": mark}) as stream:
            mark = (await _hello(stream)).get("mark", mark)
            for _ in range(20):
                event = await stream.event()
                mark = event["mark"]
                got.append(event["n"])
                if event["n"] == 149:
                    break
    await writing
    assert got == list(range(150))


async def test_an_event_right_after_the_look_at_the_table_is_not_missed(member, token, monkeypatch):
    plain = replay.standing

    def look_then_write():
        found = plain()
        with transaction.atomic():
            events.emit("job.status", {"n": "between"}, owner_id=member.pk)
        return found

    while relay._position is not None:  # still well informed by a listener before
        await asyncio.sleep(0.02)
    monkeypatch.setattr(replay, "standing", look_then_write)
    async with connection(EVENTS, token) as stream:
        await _hello(stream)
        assert (await stream.event())["n"] == "between"


async def test_the_id_of_hello_alone_is_enough_to_miss_nothing(member, token):
    await _snapshot()
    async with connection(EVENTS, token) as stream:
        mark = (await _hello(stream))["mark"]
    await emit({"n": 1}, owner=member)
    async with connection(EVENTS, token, headers={"Last-Event-ID": mark}) as stream:
        again = await _hello(stream)
        assert again["mark"] == mark  # hanging up here would lose nothing either
        assert (await stream.event())["n"] == 1


@pytest.mark.parametrize(
    "mark", ["rubbish", "-1", "9" * 400, "{other}:{newest}", "{epoch}:{beyond}"]
)
async def test_an_id_that_does_not_hold_any_more_resets(member, token, mark):
    newest = await _snapshot()
    epoch = str((await Epoch.objects.aget_or_create(pk=1))[0].value)
    given = mark.format(other=uuid.uuid4(), newest=newest, epoch=epoch, beyond=newest + 1)
    async with connection(EVENTS, token, headers={"Last-Event-ID": given}) as stream:
        hello = await _hello(stream)
        # Whoever hangs up before the reset must not come back with an id that looks good.
        assert hello.get("mark") in {None, given}
        assert await stream.event() == {"type": "reset", "mark": f"{epoch}:{newest}"}
        await emit({"n": 1}, owner=member)
        assert (await stream.event())["n"] == 1


async def test_too_much_missed_resets(member, token, monkeypatch):
    monkeypatch.setattr(replay, "MAX_ROWS", 3)
    start = await _snapshot()
    for n in range(4):
        await emit({"n": n}, owner=member)
    async with connection(EVENTS, token, after=start) as stream:
        await _hello(stream)
        assert (await stream.event())["type"] == "reset"


async def test_each_gets_what_it_may_see(member, token):
    """Live and missed alike: a member's key, two keys of the installation, one that sees all."""
    other = await in_thread(factories.user)()
    one, one_token = await in_thread(factories.key)()
    two, two_token = await in_thread(factories.key)()
    _, all_token = await in_thread(factories.key)(scopes=["jobs:read", "jobs:all"])
    jobs = {
        "member's": await in_thread(factories.job)(owner=member),
        "other's": await in_thread(factories.job)(owner=other),
        "one's": await in_thread(factories.job)(api_key=one),
        "two's": await in_thread(factories.job)(api_key=two),
        "other's by one": await in_thread(factories.job)(owner=other, api_key=one),
    }
    start = await _snapshot()

    async def write() -> None:
        for name, job in jobs.items():
            await emit({"n": name}, owner=job.owner, job=job)
        await emit({"n": "public"}, public=True)

    async def seen(token) -> tuple[list[str], list[str]]:
        async with connection(EVENTS, token, after=start) as stream:
            await _hello(stream)
            missed = [m["n"] for m in await stream.events_until("public")]
            ready.release()
            await again.wait()
            return missed, [m["n"] for m in await stream.events_until("public")]

    ready, again = asyncio.Semaphore(0), asyncio.Event()
    await write()
    tokens = [token, one_token, two_token, all_token]
    streams = [asyncio.create_task(seen(token)) for token in tokens]
    for _ in tokens:
        await ready.acquire()
    await write()
    again.set()
    expected = [
        ["member's", "public"],
        ["one's", "public"],
        ["two's", "public"],
        [*jobs, "public"],
    ]
    assert [await stream for stream in streams] == [(names, names) for names in expected]


async def test_it_can_be_narrowed_to_kinds_and_to_a_job(member, token):
    wanted = await in_thread(factories.job)(Status.PROCESSING, owner=member)
    other = await in_thread(factories.job)(Status.PROCESSING, owner=member)
    start = await _snapshot()

    async def write() -> None:
        await emit({"n": "other"}, owner=member, job=other)
        await emit_progress(wanted, 1)
        await emit({"n": "public"}, public=True)
        await emit({"n": "wanted"}, owner=member, job=wanted)

    query = {"job": str(wanted.pk), "types": "job.status,job.created", "after": start}
    await write()
    async with connection(EVENTS, token, **query) as stream:
        await _hello(stream)
        await write()
        assert [(await stream.event())["n"] for _ in range(2)] == ["wanted", "wanted"]
        assert await stream.silent()


@pytest.mark.parametrize(
    ("query", "status", "error"),
    [
        ({"after": "rubbish"}, 400, "invalid_field_value"),
        ({"after": "-1"}, 400, "invalid_field_value"),
        ({"types": "job.status,job.nothing"}, 400, "invalid_field_value"),
        ({"job": "rubbish"}, 400, "invalid_field_value"),
        ({"job": str(uuid.uuid4())}, 404, "job_not_found"),
    ],
)
async def test_what_can_not_be_understood_is_refused(token, query, status, error):
    async with connection(EVENTS, token, **query) as stream:
        await stream.begin()
        assert stream.status == status
        assert (await stream.body())["error"] == error


async def test_a_foreign_job_looks_like_none(token):
    foreign = await in_thread(factories.job)()
    async with connection(EVENTS, token, job=str(foreign.pk)) as stream:
        await stream.begin()
        assert stream.status == 404


async def test_strangers_and_keys_without_the_scope_get_nothing(member):
    _, token = await in_thread(factories.key)(member, scopes=["models:read"])
    for given, status in (("", 401), (token, 403), ("wrong.key", 401)):
        async with connection(EVENTS, given) as stream:
            await stream.begin()
            assert stream.status == status
            assert (await stream.body())["success"] is False
    assert relay.lag_seconds() is None


async def test_a_page_may_follow_with_its_session(member):
    headers = {"Cookie": (await in_thread(cookie)(member)).decode()}
    async with connection(EVENTS, headers=headers) as stream:
        await _hello(stream)
        await emit({"n": 1}, owner=member)
        assert (await stream.event())["n"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"revoked": True},
        {"is_active": False},
        {"expiry_date": "2020-01-01T00:00:00Z"},
        {"scopes": ["models:read"]},
        {"allowed_ips": ["203.0.113.0/24"]},
    ],
)
async def test_the_stream_of_a_key_that_is_no_good_any_more_ends(
    member, token, monkeypatch, change
):
    monkeypatch.setattr(rounds, "CHECK_SECONDS", 0.1)
    async with connection(EVENTS, token) as stream:
        await _hello(stream)
        await ApiKey.objects.filter(owner=member).aupdate(**change)
        assert await stream.event() is None


async def test_a_rotation_ends_the_streams_of_the_secret_before(token, monkeypatch):
    monkeypatch.setattr(rounds, "CHECK_SECONDS", 0.1)
    async with connection(EVENTS, token) as stream:
        await _hello(stream)
        await in_thread(services.rotate)(token.partition(".")[0], 0, SYSTEM)
        assert await stream.event() is None


async def test_in_the_grace_time_of_a_rotation_both_secrets_keep_their_streams(
    member, token, monkeypatch
):
    monkeypatch.setattr(rounds, "CHECK_SECONDS", 0.05)
    _, new = await in_thread(services.rotate)(token.partition(".")[0], 3600, SYSTEM)
    async with connection(EVENTS, token) as before, connection(EVENTS, new) as after:
        await _hello(before)
        await _hello(after)
        assert await before.silent(0.4)
        await emit({"n": 1}, owner=member)
        assert (await before.event())["n"] == (await after.event())["n"] == 1


async def test_the_stream_of_somebody_who_was_locked_out_ends(member, token, monkeypatch):
    monkeypatch.setattr(rounds, "CHECK_SECONDS", 0.1)
    async with connection(EVENTS, token) as stream:
        await _hello(stream)
        member.is_active = False
        await member.asave()
        assert await stream.event() is None


async def test_good_keys_are_not_shown_out(member, token, monkeypatch):
    monkeypatch.setattr(rounds, "CHECK_SECONDS", 0.05)
    await ApiKey.objects.filter(owner=member).aupdate(allowed_ips=["127.0.0.0/8"])
    async with connection(EVENTS, token) as stream:
        await _hello(stream)
        assert await stream.silent(0.4)
        await emit({"n": 1}, owner=member)
        assert (await stream.event())["n"] == 1


async def test_silence_is_broken_by_a_comment(token, monkeypatch):
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.05)
    async with connection(EVENTS, token) as stream:
        await _hello(stream)
        assert await stream.block() == {":": ""}


async def test_who_leaves_is_forgotten_at_once(token):
    async with connection(EVENTS, token) as stream:
        await _hello(stream)
        assert relay.lag_seconds() is not None
        assert len(rounds.rounds) == 1
    assert relay.lag_seconds() is None
    assert len(rounds.rounds) == 0


async def test_one_owner_can_not_take_the_places_of_all(token, monkeypatch):
    monkeypatch.setattr(streams, "MAX_STREAMS_EACH", 1)
    other = (await in_thread(factories.key)(await in_thread(factories.user)()))[1]
    async with connection(EVENTS, token) as first:
        await _hello(first)
        async with connection(EVENTS, token) as second, connection(EVENTS, other) as third:
            await second.begin()
            assert second.status == 503
            assert (await second.body())["error"] == "server_busy"
            await _hello(third)


async def test_too_many_streams_are_told_to_come_back(token, monkeypatch):
    monkeypatch.setattr(streams, "MAX_STREAMS", 1)
    async with connection(EVENTS, token) as first:
        await _hello(first)
        async with connection(EVENTS, token) as second:
            await second.begin()
            assert second.status == 503
            assert second.headers["retry-after"]
            assert (await second.body())["error"] == "server_busy"
