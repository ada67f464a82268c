"""What is in a line of the access log, which requests get one, and what must never be in it."""

import base64
import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from apikeys import access_log as log_module
from apikeys.access_log import access_log, prune
from apikeys.models import Access, KeyDay
from mobilesd.http.problems import envelope
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db

JOBS = "/api/v2/jobs"
GENERATE = "/api/v2/generate"
BODY = {"generation_params": {"positive_prompt": "a lighthouse nobody may read of"}}


def test_a_request_by_key_is_one_line_with_everything(logged, member):
    key, token = factories.key(member)
    headers = {"User-Agent": "panel/1.2", "X-Request-ID": "req-1"}
    answer = Api(token).send("POST", GENERATE, {**BODY, "source_info": "panel on PC"}, **headers)
    (line,) = logged()
    assert answer.status_code == 202
    assert (line.key_prefix, line.method, line.route) == (key.prefix, "POST", "api/v2/generate")
    assert (line.status, line.error, line.bytes) == (202, "", len(answer.content))
    assert (line.address, line.user_agent) == ("127.0.0.1", "panel/1.2")
    assert (line.source_info, line.request_id) == ("panel on PC", "req-1")
    assert 0 < line.milliseconds < 10_000
    assert abs(line.at - timezone.now()) < timedelta(minutes=1)


def test_the_route_is_the_pattern_and_not_the_path(logged, api):
    job = factories.job()
    api.get(f"{JOBS}/{job.pk}/status")
    (line,) = logged()
    assert line.route == "api/v2/jobs/<uuid:job_id>/status"
    assert (line.status, line.error) == (404, "job_not_found")


def test_files_and_304s_count_their_bytes(logged, boss):
    picture = factories.image()
    path = f"/api/v1/gallery/images/{picture.pk}/file"
    first = boss.get(path)
    size = len(b"".join(first.streaming_content))
    boss.get(path, headers={"If-None-Match": first["ETag"]})
    whole, unchanged = logged()
    assert (whole.status, unchanged.status, unchanged.bytes) == (200, 304, 0)
    assert whole.bytes == int(first.get("Content-Length", size))


def test_neither_secret_nor_prompt_gets_into_the_log(logged, caplog, member):
    _, token = factories.key(member)
    secret = token.partition(".")[2]
    Api(token).send("POST", GENERATE, BODY)
    Api(token + "x").send("POST", GENERATE, BODY)
    Client().get(JOBS, headers={"Authorization": f"Api-Key {secret}"})
    Client().get(JOBS, headers={"Authorization": f"Bearer {secret}.{token}"})
    Client().get(JOBS, headers={"X-API-Key": secret, "X-API-Secret": secret})
    Client().get(f"{JOBS}?token={token}")
    lines = logged()
    assert len(lines) == 6
    kept = json.dumps(list(Access.objects.values()), default=str) + caplog.text
    for start in (secret[:6], secret[-6:], "lighthouse"):
        assert start not in kept


def _basic(prefix: str, secret: str) -> str:
    return base64.b64encode(f"{prefix}:{secret}".encode()).decode()


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ({}, ""),
        ({"Authorization": "Api-Key abcdefgh.secret"}, "abcdefgh"),
        ({"Authorization": "bearer abcdefgh.secret"}, "abcdefgh"),
        ({"Authorization": "Bearer " + _basic("abcdefgh", "secret")}, "abcdefgh"),
        ({"X-API-Key": "abcdefgh", "X-API-Secret": "s"}, "abcdefgh"),
        ({"X-API-Key": "abcdefgh.secret"}, "abcdefgh"),
        ({"X-API-Secret": "secret"}, "?"),
        ({"Authorization": "Api-Key without-a-dot"}, "?"),
        ({"Authorization": "Bearer not base64 at all"}, "?"),
        ({"Authorization": "Bearer " + "A" * 5000}, "?"),
        ({"Authorization": "Api-Key " + "p" * 17 + ".s"}, "?"),
        ({"Authorization": "Api-Key \u00e9\u00e9.s"}, "?"),
        ({"Authorization": "Api-Key <b>.s"}, "?"),
        ({"Authorization": "Basic " + _basic("user", "pass")}, ""),
    ],
)
def test_a_refused_attempt_shows_the_prefix_that_was_presented(logged, headers, shown):
    assert Client().get(JOBS, headers=headers).status_code == 401
    (line,) = logged()
    assert (line.key_prefix, line.status) == (shown, 401)
    assert not KeyDay.objects.exists()


def test_a_line_holds_no_control_character_and_no_long_text(logged):
    agent = "a\x1b[31m\x7f" + "b" * 500
    Client().generic("X" * 60, JOBS, headers={"User-Agent": agent})
    (line,) = logged()
    assert line.user_agent == ("a?[31m?" + "b" * 500)[:200]
    assert line.method == "X" * 10


def test_what_a_signed_in_page_asks_for_is_logged_only_when_it_is_refused(logged, member):
    page = Client(enforce_csrf_checks=True)
    page.force_login(member)
    page.get(JOBS)
    assert logged() == []
    refused = page.post(GENERATE, BODY, content_type="application/json")
    assert refused.status_code == 403
    (line,) = logged()
    assert (line.status, line.error, line.key_prefix) == (403, "csrf_failed", "")


def test_what_nobody_refused_and_no_key_asked_for_is_no_line(logged):
    Client().get("/status")
    Client().get("/api/nothing")
    assert logged() == []


def test_the_day_of_a_key_is_summed_up(logged, member, monkeypatch):
    key, token = factories.key(member)
    api = Api(token)
    sizes = [len(api.get(path).content) for path in (JOBS, f"{JOBS}?limit=-1", JOBS)]
    assert len(logged()) == 3
    api.get(JOBS)
    logged()
    day = KeyDay.objects.get()
    assert (day.key_id, day.requests, day.errors) == (key.prefix, 4, 1)
    assert day.day == timezone.now().date()
    assert day.bytes > sum(sizes)


def test_a_key_that_is_gone_meanwhile_takes_no_other_line_with_it(logged, member):
    gone, token = factories.key(member)
    kept, other = factories.key(member)
    Api(token).get(JOBS)
    Api(other).get(JOBS)
    gone.delete()
    assert len(logged()) == 2
    assert [day.key_id for day in KeyDay.objects.all()] == [kept.pk and kept.prefix]


def test_a_flood_of_refusals_is_one_line_that_says_how_many(logged, monkeypatch):
    monkeypatch.setattr("apikeys.limits.REFUSALS_A_MINUTE", 3)
    statuses = [
        Client().get(JOBS, headers={"Authorization": f"Api-Key guess{n}.s"}).status_code
        for n in range(10)
    ]
    assert statuses == [401] * 3 + [429] * 7
    *single, many = logged()
    assert [line.key_prefix for line in single] == ["guess0", "guess1", "guess2"]
    assert (many.status, many.error, many.times) == (429, "rate_limited", 7)
    assert many.key_prefix == "guess9"


def test_old_lines_and_old_sums_are_pruned(settings, member, monkeypatch):
    monkeypatch.setattr(log_module, "_PRUNE_BATCH", 3)
    monkeypatch.setattr(log_module, "_PRUNE_PAUSE_SECONDS", 0)
    settings.ACCESS_LOG_DAYS = 5
    key, token = factories.key(member)
    now = timezone.now()
    Api(token).get(JOBS)
    access_log.flush()
    line = Access.objects.get()
    for days in (4, 6, 6, 6, 6, 100):
        line.pk, line.at = None, now - timedelta(days=days)
        line.save()
    for days in (399, 401):
        KeyDay.objects.create(key=key, day=(now - timedelta(days=days)).date())
    assert prune() == 5
    assert Access.objects.count() == 2
    assert KeyDay.objects.count() == 2


def test_the_clean_up_prunes(member):
    from mobilesd import housekeeping

    assert prune in housekeeping._parts()


def test_the_envelope_of_a_slowed_down_address_is_whole(monkeypatch):
    monkeypatch.setattr("apikeys.limits.REFUSALS_A_MINUTE", 0)
    answer = Client().get(JOBS)
    body = answer.json()
    assert answer.status_code == 429
    assert body["error"] == "rate_limited"
    assert set(body) == set(envelope(_problem()))
    assert body["details"]["request_id"] == answer["X-Request-ID"]
    assert 1 <= int(answer["Retry-After"]) <= 60
    assert int(answer["Content-Length"]) == len(answer.content)


def _problem():
    from mobilesd.errors import Problem

    return Problem("x")
