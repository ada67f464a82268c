"""`GET /api/v2/jobs/{id}/status` with `If-None-Match` and `wait`."""

import asyncio
import threading
import time

import pytest
from channels.db import database_sync_to_async
from django.db import DatabaseError, transaction

from apikeys.actors import SYSTEM
from jobs import events, services
from jobs.api import waiting
from jobs.choices import Status
from jobs.live.relay import relay
from jobs.models import Job, JobProgress
from mobilesd.http.handler import THREADS
from tests import factories
from tests.api.conftest import Api
from tests.live.sockets import emit_progress
from tests.streams.connections import connection

pytestmark = pytest.mark.django_db(transaction=True)
in_thread = database_sync_to_async


def _path(job: Job) -> str:
    return f"/api/v2/jobs/{job.pk}/status"


def _etag(job: Job, token: str) -> str:
    return Api(token).get(_path(job)).headers["ETag"]


@in_thread
def _cancel(job: Job) -> None:
    services.cancel(job.pk, SYSTEM)


async def _waiting(count: int = 1) -> None:
    """Return when so many answers are kept open, and the job was looked at for them."""
    while waiting._watches.waiters < count or relay.lag_seconds() is None:
        await asyncio.sleep(0.01)


# --- ETags --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/v1/queue/jobs/{}/status", "/api/v2/jobs/{}/status"])
def test_a_client_that_has_the_job_as_it_is_gets_304(job, token, path):
    api, path = Api(token), path.format(job.pk)
    first = api.get(path)
    assert first.status_code == 200
    assert first.headers["Cache-Control"] == "private, no-cache"
    for known in (
        first.headers["ETag"],
        first.headers["ETag"].removeprefix("W/"),
        f'"other", {first.headers["ETag"]}',
        "*",
    ):
        again = api.get(path, headers={"If-None-Match": known})
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["ETag"] == first.headers["ETag"]
        assert "X-RateLimit-Remaining" in again.headers
    assert api.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_another_state_has_another_etag(job, token):
    before = _etag(job, token)
    services.cancel(job.pk, SYSTEM)
    assert _etag(job, token) != before


def test_the_clock_alone_changes_no_etag(member, token):
    """The remaining time is counted down at each look; that is no news."""
    job = factories.job(Status.PROCESSING, owner=member)
    row = JobProgress.objects.create(
        job=job, attempt=job.pk, seq=1, progress=0.5, eta_seconds=60, updated_at=job.created_at
    )
    before = Api(token).get(_path(job))
    assert before.json()["job"]["estimated_time_remaining"] is not None
    after = Api(token).get(_path(job))
    assert before.headers["ETag"] == after.headers["ETag"]
    row.progress = 0.6
    row.save()
    assert _etag(job, token) != before.headers["ETag"]


# --- Waiting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", ["31", "-1", "x", "1e1", "", "٣", "NaN", "0x5"])
def test_a_wait_that_is_no_time_is_refused(job, token, wait):
    answer = Api(token).get(_path(job), {"wait": wait})
    assert answer.status_code == 400
    assert list(answer.json()["details"]["fields"]) == ["wait"]


@pytest.mark.parametrize("knows", [True, False])
async def test_the_answer_comes_when_the_job_changes(job, token, knows):
    headers = {"If-None-Match": await in_thread(_etag)(job, token)} if knows else {}
    async with connection(_path(job), token, headers=headers, wait=30) as answer:
        await _waiting()
        assert await answer.silent(0.1)
        began = time.monotonic()
        await _cancel(job)
        await answer.begin()
        assert time.monotonic() - began < 2
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-ratelimit-remaining"]
        assert answer.headers["x-request-id"]
        body = await answer.body()
        assert body["success"] is True
        assert body["job"]["status"] == "cancelled"
        assert int(answer.headers["content-length"]) > 0
    assert answer.headers["etag"] == await in_thread(_etag)(job, token)
    assert waiting._watches.waiters == 0
    assert relay.lag_seconds() is None


async def test_a_client_that_is_behind_does_not_wait(job, token):
    async with connection(_path(job), token, headers={"If-None-Match": '"old"'}, wait=30) as answer:
        await answer.begin()
        assert answer.status == 200


async def test_a_job_that_has_ended_is_shown_at_once_but_not_twice(member, token):
    job = await in_thread(factories.job)(Status.CANCELLED, owner=member)
    async with connection(_path(job), token, wait=30) as answer:
        await answer.begin()
        assert answer.status == 200
    headers = {"If-None-Match": answer.headers["etag"]}
    async with connection(_path(job), token, headers=headers, wait=30) as answer:
        await _waiting()  # it may be retried
        await in_thread(services.retry)(job.pk, SYSTEM)
        await answer.begin()
        assert (await answer.body())["job"]["status"] == "pending"


@pytest.mark.parametrize(("knows", "status"), [(True, 304), (False, 200)])
async def test_after_the_time_it_is_told_how_things_stand(job, token, knows, status):
    etag = await in_thread(_etag)(job, token)
    headers = {"If-None-Match": etag} if knows else {}
    async with connection(_path(job), token, headers=headers, wait=0.3) as answer:
        await answer.begin()
        assert (answer.status, answer.headers["etag"]) == (status, etag)
        body = await answer.body()
        assert (body is None) is knows


async def test_a_change_between_the_look_and_the_waiting_is_not_missed(job, token, monkeypatch):
    """Whatever happens after the view has read, and before anybody listens, is seen."""
    plain = waiting.wait_for_change

    def late(request, job_id, **options):
        answer = plain(request, job_id, **options)
        with transaction.atomic():
            Job.objects.filter(pk=job_id).update(status=Status.CANCELLED)  # and no event tells
        return answer

    monkeypatch.setattr("jobs.api.status.wait_for_change", late)
    async with connection(_path(job), token, wait=30) as answer:
        await answer.begin()
        assert (await answer.body())["job"]["status"] == "cancelled"


async def test_progress_is_looked_at_once_a_second(member, token, monkeypatch):
    job = await in_thread(factories.job)(Status.PROCESSING, owner=member)
    looks = []
    plain = waiting._look_at
    monkeypatch.setattr(waiting, "_look_at", lambda job_id: looks.append(1) or plain(job_id))
    async with connection(_path(job), token, wait=30) as answer:
        await _waiting()
        for seq in range(8):
            await emit_progress(job, seq)
            await asyncio.sleep(0.05)
        assert len(looks) <= 2
        row = JobProgress(job=job, attempt=job.pk, seq=9, progress=0.9, updated_at=job.created_at)
        await row.asave()
        await emit_progress(job, 9)
        await answer.begin()
        assert (await answer.body())["job"]["progress"] == 0.9
    assert len(looks) <= 3


async def test_a_job_that_is_deleted_meanwhile_is_not_found(job, token):
    async with connection(_path(job), token, headers={"X-Request-ID": "mine"}, wait=30) as answer:
        await _waiting()
        await in_thread(services.delete)(job.pk, SYSTEM)
        await answer.begin()
        assert answer.status == 404
        body = await answer.body()
        assert body["error"] == "job_not_found"
        assert body["details"]["request_id"] == "mine"
        assert "etag" not in answer.headers


async def test_what_goes_wrong_meanwhile_has_the_usual_form(job, token, monkeypatch):
    def locked(job_id):
        raise DatabaseError("database is locked")

    async with connection(_path(job), token, wait=30) as answer:
        await _waiting()
        monkeypatch.setattr(waiting, "_look_at", locked)
        await _cancel(job)
        await answer.begin()
        assert answer.status == 503
        assert (await answer.body())["error"] == "database_busy"


async def test_a_foreign_job_is_not_waited_for(token):
    job = await in_thread(factories.job)()
    async with connection(_path(job), token, wait=30) as answer:
        await answer.begin()
        assert answer.status == 404


async def test_who_hangs_up_is_forgotten_at_once(job, token):
    async with connection(_path(job), token, wait=30):
        await _waiting()
    assert waiting._watches.waiters == 0
    assert relay.lag_seconds() is None


async def test_too_many_who_wait_are_told_to_come_back(job, token, monkeypatch):
    monkeypatch.setattr(waiting, "MAX_WAITERS", 1)
    async with connection(_path(job), token, wait=30):
        await _waiting()
        async with connection(_path(job), token, wait=30) as answer:
            await answer.begin()
            assert answer.status == 503
            assert answer.headers["retry-after"] == "5"
            assert (await answer.body())["error"] == "server_busy"


async def test_one_owner_can_not_take_the_places_of_all(job, token, monkeypatch):
    monkeypatch.setattr(waiting, "MAX_WAITERS_EACH", 1)
    theirs = await in_thread(factories.job)(owner=await in_thread(factories.user)())
    other = (await in_thread(factories.key)(theirs.owner))[1]
    async with connection(_path(job), token, wait=30):
        await _waiting()
        async with connection(_path(job), token, wait=30) as answer:
            await answer.begin()
            assert answer.status == 503
        async with connection(_path(theirs), other, wait=30):
            await _waiting(2)
    assert not waiting._watches.waiters_of


async def test_two_hundred_wait_for_one_job_without_a_thread_and_with_one_look(
    job, token, monkeypatch
):
    looks = []
    plain = waiting._look_at
    monkeypatch.setattr(waiting, "_look_at", lambda job_id: looks.append(1) or plain(job_id))
    other = await in_thread(factories.job)(owner=job.owner)
    before = threading.active_count()
    opened = [connection(_path(job), token, wait=30) for _ in range(200)]
    answers = [await each.__aenter__() for each in opened]
    try:
        await _waiting(200)
        assert threading.active_count() <= before + THREADS + 2  # the relay, the one look
        async with connection(_path(other), token) as quick:
            began = time.monotonic()
            await quick.begin()
            assert time.monotonic() - began < 1
        await asyncio.sleep(0.2)  # the looks for those who came have been taken
        looks.clear()
        await _cancel(job)
        for answer in answers:
            await answer.begin()
            assert (await answer.body())["job"]["status"] == "cancelled"
        assert len(looks) == 1
    finally:
        for each in opened:
            await each.__aexit__(None, None, None)


async def test_events_of_other_jobs_wake_nobody(job, token, monkeypatch):
    other = await in_thread(factories.job)(owner=job.owner)
    looks = []
    plain = waiting._look_at
    async with connection(_path(job), token, wait=30):
        await _waiting()
        await asyncio.sleep(0.2)
        monkeypatch.setattr(waiting, "_look_at", lambda job_id: looks.append(1) or plain(job_id))

        @in_thread
        def tell() -> None:
            with transaction.atomic():
                events.emit_for_job("job.status", other, {"job": str(other.pk)})

        await tell()
        await asyncio.sleep(0.2)
    assert looks == []
