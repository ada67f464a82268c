"""The access log of `wait=`: one line, with how it ended."""

import asyncio

import pytest
from channels.db import database_sync_to_async

from apikeys.access_log import access_log
from apikeys.actors import SYSTEM
from apikeys.models import Access
from jobs import services
from jobs.api import waiting
from tests.streams.connections import connection
from tests.streams.test_waiting import _cancel, _etag, _path, _waiting

pytestmark = pytest.mark.django_db(transaction=True)
in_thread = database_sync_to_async


@in_thread
def _lines() -> list[Access]:
    access_log.flush()
    return list(Access.objects.all())


async def test_an_answer_that_came_late_is_noted_as_it_was(job, token):
    headers = {"X-Request-ID": "mine", "User-Agent": "waiter"}
    async with connection(_path(job), token, headers=headers, wait=30) as answer:
        await _waiting()
        await asyncio.sleep(0.4)
        assert await _lines() == []
        await _cancel(job)
        await answer.begin()
        size = int(answer.headers["content-length"])
        await answer.body()
    (line,) = await _lines()
    assert (line.status, line.bytes, line.error) == (200, size, "")
    assert 400 < line.milliseconds < 5000
    assert (line.request_id, line.user_agent) == ("mine", "waiter")
    assert line.route == "api/v2/jobs/<uuid:job_id>/status"
    assert line.key_prefix == token.partition(".")[0]


async def test_nothing_new_is_a_304(job, token):
    headers = {"If-None-Match": await in_thread(_etag)(job, token)}
    access_log.discard()
    async with connection(_path(job), token, headers=headers, wait=0.2) as answer:
        await answer.begin()
        await answer.body()
    (line,) = await _lines()
    assert (line.status, line.bytes) == (304, 0)
    assert line.milliseconds > 200


async def test_what_went_wrong_is_named(job, token):
    async with connection(_path(job), token, wait=30) as answer:
        await _waiting()
        await in_thread(services.delete)(job.pk, SYSTEM)
        await answer.begin()
        await answer.body()
    (line,) = await _lines()
    assert (line.status, line.error) == (404, "job_not_found")
    assert line.bytes > 0


async def test_who_left_got_no_answer(job, token):
    async with connection(_path(job), token, wait=30):
        await _waiting()
    (line,) = await _lines()
    assert (line.status, line.bytes, line.error) == (0, 0, "")


async def test_who_is_turned_away_is_noted_at_once(job, token, monkeypatch):
    monkeypatch.setattr(waiting, "MAX_WAITERS", 0)
    async with connection(_path(job), token, wait=30) as answer:
        await answer.begin()
    (line,) = await _lines()
    assert (line.status, line.error) == (503, "server_busy")
