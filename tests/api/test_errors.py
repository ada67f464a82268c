"""Whatever goes wrong, the answer is the envelope of the contract and nothing internal."""

import errno
import logging
import re

import pytest
from django.db import OperationalError
from django.test import RequestFactory

from jobs import services
from mobilesd.errors import InvalidInput
from mobilesd.http.codec import StrictJSONParser
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
GENERATE = "/api/v2/generate"
ORDER = {"generation_params": {"positive_prompt": "a cat"}}


def check_envelope(answer, status: int, error: str) -> dict:
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert set(body) == {"success", "error", "message", "details"}
    assert body["success"] is False
    assert body["error"] == error
    assert body["message"].endswith((".", "!"))
    details = body["details"]
    assert details["code"] == error.upper()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", details["timestamp"])
    assert details["request_id"] == answer.headers["X-Request-ID"]
    assert isinstance(details["fields"], dict)
    assert isinstance(details["hint"], str)
    return body


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/v1", "/api/v9/jobs", "/api/v2/jobs/"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("debug", [True, False])
def test_an_unknown_api_path_is_a_json_404(path, method, debug, settings):
    settings.DEBUG = debug
    check_envelope(Api().send(method, path), 404, "not_found")


def test_a_method_that_a_route_does_not_have_is_a_405(api):
    answer = api.send("PATCH", "/api/v2/jobs")
    check_envelope(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD"


def test_an_answer_that_is_no_json_can_not_be_asked_for(api):
    check_envelope(api.get("/api/v2/jobs", headers={"Accept": "text/csv"}), 406, "not_acceptable")


def test_a_browser_gets_json_too(api):
    accept = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
    assert api.get("/api/v2/jobs", headers={"Accept": accept}).json()["success"] is True


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "image/png"])
def test_a_body_that_is_no_json_is_a_415(api, kind):
    check_envelope(
        api.generic("POST", GENERATE, b"positive_prompt=cat", kind), 415, "unsupported_media_type"
    )


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "line 1"),
        (b"", "generation_params"),
        (b"\xff\xfe{}", "UTF-8"),
        (b'{"generation_params": {"cfg_scale": NaN}}', "NaN"),
        (b'{"generation_params": {"cfg_scale": -Infinity}}', "Infinity"),
        (b'{"generation_params": {"cfg_scale": 1e999}}', "too large"),
        (b'{"generation_params": {"seed": ' + b"9" * 5000 + b"}}", "digits"),
        (b'{"generation_params": {}, "generation_params": {}}', "twice"),
        (b'{"generation_params": {"positive_prompt": "a\\u0000b"}}', "NUL"),
        (b'{"generation_params": {"positive_prompt": "\\ud800"}}', "surrogate"),
        (b'{"generation_params": {"\\udc00": 1}}', "surrogate"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 100_000, "nested"),
        (b'{"generation_params": {"x": ' + b"[" * 150 + b"]" * 150 + b"}}", "nested"),
        (b"[]", "object"),
        (b'"text"', "object"),
        (b"null", "object"),
    ],
)
def test_a_body_that_can_not_be_taken_says_what_is_wrong(api, rows, body, says):
    before = rows()
    answer = api.send("POST", GENERATE, body)
    assert answer.status_code == 400, answer.content
    assert answer.json()["error"] in {"invalid_json", "missing_required_field"}
    assert says in answer.json()["message"]
    assert rows() == before


def test_escaped_characters_beyond_the_basic_plane_are_fine(api):
    body = b'{"generation_params": {"positive_prompt": "a cat \\ud83d\\ude00"}}'
    assert api.send("POST", GENERATE, body).status_code == 202


def test_brackets_in_a_text_are_no_nesting(api):
    body = {"generation_params": {"positive_prompt": "[" * 500 + "(a cat)" + "]" * 500}}
    assert api.send("POST", GENERATE, body).status_code == 202


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_a_413(api, settings, announced, rows):
    settings.MAX_BODY_BYTES = 10_000
    body = {"generation_params": {"positive_prompt": "x" * 20_000}}
    headers = {} if announced else {"Content-Length": "100"}
    answer = api.send("POST", GENERATE, body, **headers)
    if announced:
        check_envelope(answer, 413, "payload_too_large")
    else:  # the server cuts the body where it was said to end
        check_envelope(answer, 400, "invalid_json")
    assert set(rows().values()) == {0}


def test_a_body_that_is_announced_as_too_large_is_not_even_read(settings):
    settings.MAX_BODY_BYTES = 10

    class Unreadable:
        def read(self, *_):
            raise AssertionError("read")

    request = RequestFactory().post("/", b"x" * 20, "application/json")
    with pytest.raises(InvalidInput) as refused:
        StrictJSONParser().parse(Unreadable(), None, {"request": request})
    assert refused.value.status == 413


def _failing(monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(services, "submit", fail)


def test_a_busy_database_is_a_503_with_when_to_come_back(api, monkeypatch):
    _failing(monkeypatch, OperationalError("database is locked"))
    answer = api.send("POST", GENERATE, ORDER)
    check_envelope(answer, 503, "database_busy")
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), OperationalError("disk is full")],
)
def test_a_full_disk_is_a_503_that_says_so(api, monkeypatch, error):
    _failing(monkeypatch, error)
    assert (
        "disk" in check_envelope(api.send("POST", GENERATE, ORDER), 503, "storage_full")["message"]
    )


def test_a_fault_of_ours_shows_nothing_internal_and_is_logged(api, monkeypatch, caplog):
    _failing(monkeypatch, RuntimeError("secret internals at /some/path"))
    with caplog.at_level(logging.ERROR):
        answer = api.send("POST", GENERATE, ORDER)
    check_envelope(answer, 500, "internal_error")
    assert "internals" not in answer.text
    assert "secret internals" in caplog.text


def test_a_keys_secret_is_in_no_log_line_and_no_answer(monkeypatch, caplog):
    _, token = factories.key()
    secret = token.partition(".")[2]
    _failing(monkeypatch, RuntimeError("broken"))
    with caplog.at_level(logging.DEBUG):
        answers = [
            Api(token).send("POST", GENERATE, ORDER),
            Api(token).get("/api/v2/jobs"),
            Api(token + "x").get("/api/v2/jobs"),
            Api().get("/api/v2/jobs", headers={"X-API-Key": secret, "X-API-Secret": secret}),
        ]
    assert secret not in caplog.text
    assert not any(secret in answer.text for answer in answers)


def test_answers_are_not_kept_by_caches(api):
    assert api.get("/api/v2/jobs").headers["Cache-Control"] == "no-store"
