"""How often a key may ask: exact, in two buckets, told in every answer."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import ANY

import pytest
from django.core.cache import caches
from django.test import Client

from apikeys import limits
from apikeys.limits import UNLIMITED, Bucket, check
from apikeys.models import ApiKey
from jobs.choices import Status
from jobs.models import Job, JobDependency
from mobilesd.errors import Problem
from tests import factories
from tests.access.conftest import START
from tests.api.conftest import Api

JOBS = "/api/v2/jobs"
GENERATE = "/api/v2/generate"
BODY = {"generation_params": {"positive_prompt": "a cat"}}


def a_key(limit: int = 5, prefix: str = "abcdefgh") -> ApiKey:
    return ApiKey(prefix=prefix, rate_limit=limit)


def told(answer: Any) -> tuple[int, int]:
    assert 1 <= int(answer["X-RateLimit-Reset"]) <= 60
    return int(answer["X-RateLimit-Limit"]), int(answer["X-RateLimit-Remaining"])


# --- Over HTTP --------------------------------------------------------------------------------
@pytest.mark.django_db
def test_submissions_and_all_else_are_counted_apart(member):
    _, token = factories.key(member, rate_limit=2)
    api = Api(token)
    assert told(api.send("POST", GENERATE, BODY)) == (2, 1)
    assert told(api.get(JOBS)) == (20, 19)
    assert told(api.send("POST", "/api/v1/generate", BODY)) == (2, 0)
    refused = api.send("POST", GENERATE, BODY)
    assert (refused.status_code, told(refused)) == (429, (2, 0))
    assert refused["Retry-After"] == refused["X-RateLimit-Reset"]
    assert refused.json()["error"] == "rate_limited"
    assert Job.objects.count() == 2
    assert told(api.get(JOBS)) == (20, 18)


@pytest.mark.django_db
def test_a_retry_is_a_submission(member):
    """It puts as much work into the queue as a new job does."""
    _, token = factories.key(member, rate_limit=2)
    jobs = [factories.job(Status.FAILED, owner=member) for _ in range(3)]
    retries = [Api(token).send("POST", f"{JOBS}/{job.pk}/retry") for job in jobs]
    assert [answer.status_code for answer in retries] == [200, 200, 429]
    assert [told(answer) for answer in retries] == [(2, 1), (2, 0), (2, 0)]
    assert Job.objects.get(pk=jobs[2].pk).status == Status.FAILED
    assert Api(token).send("POST", GENERATE, BODY).status_code == 429


@pytest.mark.django_db
def test_a_retry_of_a_whole_chain_is_counted_by_its_jobs(member, monkeypatch):
    monkeypatch.setattr(limits, "JOBS_A_SUBMISSION", 2)
    _, token = factories.key(member, rate_limit=3)
    first = factories.job(Status.FAILED, owner=member)
    others = [
        factories.job(Status.FAILED, owner=member, error_code="dependency_failed") for _ in range(4)
    ]
    for other in others:
        JobDependency.objects.create(job=other, parent=first)
    path = f"{JOBS}/{first.pk}/retry"
    together = Api(token).send("POST", path, {"dependents": True})
    assert (together.status_code, told(together)) == (200, (3, 0))  # five jobs
    assert len(together.json()["dependents"]) == 4
    Job.objects.update(status=Status.FAILED, error_code="dependency_failed")
    _, another = factories.key(member, rate_limit=3)
    assert Api(another).send("POST", GENERATE, BODY).status_code == 202
    refused = Api(another).send("POST", path, {"dependents": True})
    assert (refused.status_code, told(refused)) == (429, (3, 1))
    assert not Job.objects.filter(pk__in=[first.pk, *(o.pk for o in others)]).exclude(
        status=Status.FAILED
    )


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_path_that_is_not_there_counts_as_well(member, method):
    _, token = factories.key(member, rate_limit=2)
    for left in (19, 18):
        answer = Api(token).send(method, "/api/v2/jobs/no-uuid/status")
        assert (answer.status_code, told(answer)) == (404, (20, left))
        assert "Allow" not in answer.headers


@pytest.mark.django_db
def test_a_wrong_key_is_refused_where_nothing_is():
    answer = Api("abcdefgh.wrong").get("/api/v2/nothing")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_api_key")


@pytest.mark.django_db
def test_a_page_without_its_csrf_token_learns_that_nothing_is_there(member):
    page = Client(enforce_csrf_checks=True)
    page.force_login(member)
    answer = page.post("/api/v2/nothing", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


@pytest.mark.django_db
def test_a_request_that_is_refused_does_nothing_else(member, django_assert_max_num_queries):
    _, token = factories.key(member, rate_limit=1)
    api = Api(token)
    api.send("POST", GENERATE, BODY)
    with django_assert_max_num_queries(1):  # who asks, and nothing more
        answer = api.send("POST", GENERATE, b"[" * 5_000_000)
    assert answer.status_code == 429


@pytest.mark.django_db
def test_every_answer_to_a_key_tells_the_limit(member, boss):
    _, token = factories.key(member, scopes=["jobs:read"])
    api = Api(token)
    picture = factories.image()
    file = f"/api/v1/gallery/images/{picture.pk}/file"
    whole = boss.get(file)
    answers = {
        200: api.get(JOBS),
        206: whole,
        304: boss.get(file, headers={"If-None-Match": whole["ETag"]}),
        400: api.get(f"{JOBS}?limit=-1"),
        403: api.send("POST", GENERATE, BODY),
        404: api.get(f"{JOBS}/{picture.pk}/status"),
        405: api.send("PUT", JOBS, {}),
        415: boss.post(GENERATE, "x", content_type="text/plain"),
    }
    for status, answer in answers.items():
        assert answer.status_code == (200 if status == 206 else status)
        told(answer)
    assert told(answers[403])[0] == 120  # a refused submission counts as one
    assert told(answers[405])[0] == 1200


@pytest.mark.django_db
def test_pages_and_strangers_are_told_no_limit(member):
    page = Client()
    page.force_login(member)
    for answer in (page.get(JOBS), Client().get(JOBS), Client().get("/status")):
        assert "X-RateLimit-Limit" not in answer


@pytest.mark.django_db
def test_a_changed_limit_holds_at_once_and_gives_no_new_allowance(member):
    key, token = factories.key(member, rate_limit=3)
    api = Api(token)
    for _ in range(3):
        api.send("POST", GENERATE, BODY)
    assert api.send("POST", GENERATE, BODY).status_code == 429
    ApiKey.objects.filter(pk=key.pk).update(rate_limit=6)
    assert told(api.send("POST", GENERATE, BODY)) == (6, 1)
    ApiKey.objects.filter(pk=key.pk).update(rate_limit=3)
    assert api.send("POST", GENERATE, BODY).status_code == 429
    ApiKey.objects.filter(pk=key.pk).update(rate_limit=0)
    assert told(api.send("POST", GENERATE, BODY)) == (UNLIMITED, UNLIMITED)


@pytest.mark.django_db
def test_refused_attempts_slow_an_address_down_and_never_the_owner(member, monkeypatch):
    monkeypatch.setattr(limits, "REFUSALS_A_MINUTE", 3)
    _, token = factories.key(member)
    page, guess = Client(), {"Authorization": "Api-Key guessing.x"}
    page.force_login(member)
    assert [Client().get(JOBS, headers=guess).status_code for _ in range(5)] == [401] * 3 + [
        429
    ] * 2
    assert Api(token).get(JOBS).status_code == 200
    assert page.get(JOBS).status_code == 200
    assert Client().get(JOBS, headers=guess, REMOTE_ADDR="10.9.9.9").status_code == 401
    assert Client().get("/sign-in").status_code != 429


@pytest.mark.django_db
def test_what_a_known_key_or_member_may_not_do_slows_no_address_down(member, monkeypatch):
    monkeypatch.setattr(limits, "REFUSALS_A_MINUTE", 0)
    _, token = factories.key(member, scopes=["jobs:read"])
    assert Api(token).send("POST", GENERATE, BODY).status_code == 403
    page = Client()
    page.force_login(member)
    assert page.post("/api/v1/servers", {}, content_type="application/json").status_code == 403


# --- Counting ---------------------------------------------------------------------------------
def test_threads_together_get_exactly_what_is_allowed():
    barrier = threading.Barrier(8)

    def ask(_: int) -> int:
        barrier.wait()
        return sum(check(a_key(100), Bucket.SUBMISSIONS).admitted for _ in range(50))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) == 100


def test_threads_with_costs_never_get_more_than_is_allowed():
    barrier = threading.Barrier(8)

    def ask(_: int) -> int:
        barrier.wait()
        return sum(7 * check(a_key(100), Bucket.SUBMISSIONS, 7).admitted for _ in range(10))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) <= 100


def test_a_window_ends_when_its_reset_says_so(clock):
    key = a_key(3)
    resets = set()
    for second in range(180):
        clock.now = START + second + 0.9
        allowance = check(key)
        resets.add(allowance.reset_seconds)
        wait = allowance.reset_seconds
        before = clock.now
        clock.now = before + wait - 1
        used = limits._count("requests", key.prefix, increment=False)[0]
        clock.now = before + wait
        fresh = limits._count("requests", key.prefix, increment=False)[0]
        assert used >= 1 and fresh == 0
        clock.now = before
    assert resets == set(range(1, 61))


def test_who_waits_as_told_is_admitted(clock):
    key = a_key(2)
    for _ in range(5):
        while (allowance := check(key, Bucket.SUBMISSIONS)).admitted:
            pass
        clock.now += allowance.reset_seconds
    assert check(key, Bucket.SUBMISSIONS).admitted


def test_a_clock_that_jumps_never_locks_a_key_out(clock):
    key = a_key(1)
    assert check(key, Bucket.SUBMISSIONS).admitted
    assert not check(key, Bucket.SUBMISSIONS).admitted
    for jump in (-86_400, 3600, 86_400 * 365):
        clock.now += jump
        allowance = check(key, Bucket.SUBMISSIONS)
        assert 1 <= allowance.reset_seconds <= 60
        clock.now += allowance.reset_seconds
        assert check(key, Bucket.SUBMISSIONS).admitted


def test_a_key_without_a_limit_is_not_counted(clock):
    for _ in range(10):
        allowance = check(a_key(0), Bucket.SUBMISSIONS, 1000)
    assert allowance == limits.Allowance(UNLIMITED, UNLIMITED, 60, admitted=True)
    assert not caches["ratelimit"]._cache


# --- Many jobs at once ------------------------------------------------------------------------
class Sent:
    def __init__(self, key: ApiKey | None) -> None:
        self.auth = key
        self._request = type("Plain", (), {})()


@pytest.mark.parametrize(("jobs", "cost"), [(1, 1), (50, 1), (51, 2), (100, 2), (1000, 20), (0, 1)])
def test_many_jobs_cost_one_submission_for_each_fifty(clock, jobs, cost):
    key, request = a_key(120), None
    request = Sent(key)
    limits.charge(request, key, Bucket.SUBMISSIONS)  # as KeyThrottle does
    limits.charge_jobs(request, jobs)
    assert limits._count(Bucket.SUBMISSIONS, key.prefix, increment=False)[0] == cost
    assert limits.headers_of(request)["X-RateLimit-Remaining"] == str(120 - cost)


def test_many_jobs_that_do_not_fit_any_more_leave_room_for_fewer(clock):
    key = a_key(120)
    request = Sent(key)
    check(key, Bucket.SUBMISSIONS, 110)
    limits.charge(request, key, Bucket.SUBMISSIONS)
    with pytest.raises(Problem) as refused:
        limits.charge_jobs(request, 1000)
    assert refused.value.error == "rate_limited"
    assert limits.headers_of(request)["X-RateLimit-Remaining"] == "9"
    assert check(key, Bucket.SUBMISSIONS, 9).admitted


def test_more_jobs_than_a_limit_ever_allows_pass_in_a_fresh_minute(clock):
    key = a_key(2)
    request = Sent(key)
    limits.charge(request, key, Bucket.SUBMISSIONS)
    limits.charge_jobs(request, 1000)
    assert not check(key, Bucket.SUBMISSIONS).admitted


def test_a_cost_above_the_whole_limit_counts_as_the_limit():
    assert check(a_key(3), Bucket.SUBMISSIONS, 10) == limits.Allowance(3, 0, ANY, admitted=True)
    assert not check(a_key(3), Bucket.SUBMISSIONS, 10).admitted


def test_a_page_submits_many_jobs_without_a_limit():
    limits.charge_jobs(Sent(None), 1000)


# --- Addresses --------------------------------------------------------------------------------
def test_the_addresses_of_one_host_count_together(monkeypatch, clock):
    monkeypatch.setattr(limits, "REFUSALS_A_MINUTE", 2)
    assert limits.refuse("2001:db8::1") is None
    assert limits.refuse("2001:db8::2") is None
    assert 1 <= (limits.refuse("2001:db8::3") or 0) <= 60
    assert limits.refuse("2001:db8:0:1::1") is None
    assert limits.refuse("") is None  # a Unix socket


def test_a_flood_of_counters_evicts_none_that_is_in_use(clock):
    key, counters = a_key(1), caches["ratelimit"]
    assert check(key, Bucket.SUBMISSIONS).admitted
    for number in range(40_000):  # more addresses than can be refused in a minute
        counters.add(f"flood-{number}", 1, 65)
    assert not check(key, Bucket.SUBMISSIONS).admitted
    for number in range(40_000, 80_000):
        counters.add(f"flood-{number}", 1, 65)
    assert not check(key, Bucket.SUBMISSIONS).admitted
    assert len(counters._cache) <= 65_536
