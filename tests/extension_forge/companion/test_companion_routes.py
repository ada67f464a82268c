"""What the companion answers under /mobilesd/v1/, and to whom."""

import json
import logging
import threading
import time

import pytest
from mobilesd_forge.companion import open_companion
from mobilesd_forge.companion.engine import Look
from mobilesd_forge.companion.routes import Request
from mobilesd_forge.companion.token import CompanionToken, WrongTokens
from mobilesd_forge.version import VERSION

from tests.extension_forge.companion.conftest import eventually
from tests.extension_forge.companion.engines import HandEngine, answered


class Asked:
    """A companion and somebody who asks it, with the right token unless told otherwise."""

    def __init__(self, folder):
        self.engine = HandEngine()
        self.companion = open_companion(self.engine, folder)
        self.token = self.companion.token.value()

    def __call__(self, method, path, body=None, *, token=..., client="10.0.0.2", **query):
        given = self.token if token is ... else token
        headers = {"x-mobilesd-token": given} if given else {}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.companion.routes.handle(
            Request(method, path, query, headers, content, client)
        )
        self.headers = answer.headers
        found = answer.body if answer.file is None else answer.file.read_bytes()[answer.offset :]
        return answer.status, json.loads(found)

    def submit(self, token, kind="txt2img", **payload):
        return self("POST", "/jobs", {"token": token, "kind": kind, "payload": payload})

    def state(self, token, **query):
        return self("GET", f"/jobs/{token}", **query)[1]


@pytest.fixture
def ask(tmp_path):
    asked = Asked(tmp_path)
    yield asked
    asked.companion.stop()


# --- who may ---------------------------------------------------------------------------------


def test_hello_without_a_token_says_only_that_it_is_there(ask):
    assert ask("GET", "/hello", token="") == (200, {"companion": "mobilesd", "token": "needed"})


def test_hello_with_the_token_says_what_it_is_and_can_do(ask):
    ask.engine.problems = ("Forge runs without its API.",)
    status, told = ask("GET", "/hello")
    assert status == 200
    assert (told["version"], told["protocol"]) == (VERSION, 1)
    assert told["engine"] == {
        "program": "by hand",
        "version": "1",
        "kinds": ["txt2img", "img2img", "extra-single-image"],
        "cancels_running": True,
        "problems": ["Forge runs without its API."],
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/jobs"),
        ("GET", "/jobs/token-01"),
        ("GET", "/jobs/token-01/result"),
        ("POST", "/jobs/token-01/cancel"),
        ("DELETE", "/jobs/token-01"),
        ("GET", "/nothing"),
    ],
)
@pytest.mark.parametrize(("token", "code"), [("", "token_missing"), ("x" * 43, "token_wrong")])
def test_nothing_else_is_answered_without_it(ask, method, path, token, code):
    ask.submit("token-01")
    status, told = ask(method, path, {}, token=token)
    assert (status, told["error"]) == (401, code)
    assert ask.state("token-01")["state"] in ("queued", "running")


def test_guessing_is_slow_and_locks_nobody_out_who_has_the_token(ask):
    guesses = [ask("GET", "/hello", token=f"{n:043}")[0] for n in range(12)]
    assert guesses == [401] * 10 + [429] * 2
    assert 0 < int(ask.headers["retry-after"]) <= 61
    assert ask("GET", "/hello")[0] == 200
    assert ask("GET", "/hello", token="x" * 43, client="10.0.0.3")[0] == 401


def test_wrong_tokens_are_forgotten_after_a_while():
    now = [0.0]
    wrong = WrongTokens(most=2, seconds=60, clock=lambda: now[0])
    assert [wrong.note("a") for _ in range(3)] == [0, 0, 60]
    now[0] = 61
    assert wrong.note("b") == 0
    assert "a" not in wrong._moments
    assert wrong.note("a") == 0


def test_the_token_is_made_once_and_readable_by_its_owner_only(tmp_path):
    token = CompanionToken(tmp_path / "extension")
    first = token.value()
    assert len(first) >= 40
    assert CompanionToken(tmp_path / "extension").value() == first
    [file] = (tmp_path / "extension").iterdir()
    assert file.stat().st_mode & 0o077 == 0
    assert len(file.name) > 40, "a name that can be guessed could be fetched by Gradio's /file="
    assert token.matches(first)
    assert not token.matches("")
    assert not token.matches(first + "x")
    assert token.renew() != first
    assert not token.matches(first)
    assert len(list((tmp_path / "extension").iterdir())) == 1


def test_a_token_that_somebody_chose_must_not_be_short(tmp_path):
    token = CompanionToken(tmp_path / "extension")
    token.value()
    [file] = (tmp_path / "extension").iterdir()
    file.write_text("0123456789012345678901\n")
    assert token.value() == "0123456789012345678901"
    file.write_text("secret")
    assert token.value() != "secret"


def test_the_token_is_never_logged(ask, caplog):
    caplog.set_level(logging.DEBUG)
    ask.submit("token-01")
    ask("GET", "/jobs/token-01")
    ask("GET", "/hello", token="x" * 43)
    assert ask.token not in caplog.text


# --- jobs ------------------------------------------------------------------------------------


def test_a_job_is_taken_at_once_and_its_result_fetched_later(ask):
    status, told = ask.submit("token-01", prompt="a cat")
    assert (status, told["new"]) == (202, True)
    assert ask.submit("token-01")[1]["new"] is False
    ask.engine.finish(answered(images=["eA=="]))
    eventually(lambda: ask.state("token-01")["state"] == "done")
    assert ask.state("token-01")["status"] == 200
    assert ask("GET", "/jobs/token-01/result") == (200, {"images": ["eA=="]})
    assert ask("DELETE", "/jobs/token-01") == (200, {"token": "token-01", "state": "unknown"})
    assert ask.state("token-01") == {"token": "token-01", "state": "unknown"}
    assert ask("GET", "/jobs/token-01/result")[0] == 404
    assert ask.submit("token-01")[0] == 409


def test_progress_and_preview_are_shown_while_it_runs(ask):
    ask.engine.looks["token-01"] = Look(
        active=True, fraction=0.25, eta=3.0, step=5, steps=20, job="b", preview=b"\xff\xd8\xff"
    )
    ask.submit("token-01")
    eventually(lambda: ask.state("token-01").get("progress"))
    shown = ask.state("token-01", preview="1")["progress"]
    assert (shown["fraction"], shown["eta"], shown["step"], shown["steps"]) == (0.25, 3.0, 5, 20)
    assert shown["preview"] == "/9j/"
    ask.submit("token-02")
    ask.submit("token-03")
    assert ask.state("token-03")["before"] == 1


def test_who_waits_for_news_is_told_at_once(ask):
    ask.submit("token-01")
    eventually(lambda: ask.state("token-01")["state"] == "running")
    threading.Timer(0.2, ask.engine.finish).start()
    began = time.monotonic()
    assert ask.state("token-01", wait="15", seen="running")["state"] == "done"
    assert time.monotonic() - began < 5


def test_who_waits_for_steps_is_told_of_them(ask):
    ask.engine.looks["token-01"] = Look(active=True, step=1)
    ask.submit("token-01")
    eventually(lambda: ask.state("token-01")["state"] == "running")
    seen = ask.state("token-01")["steps_version"]

    def moves():
        ask.engine.looks["token-01"] = Look(active=True, step=2)

    threading.Timer(0.2, moves).start()
    told = ask.state("token-01", wait="15", seen=seen, steps="1")
    assert told["progress"]["step"] == 2


def test_a_wait_ends_without_news_too(ask):
    ask.submit("token-01")
    eventually(lambda: ask.state("token-01")["state"] == "running")
    assert ask.state("token-01", wait="0.2", seen="running")["state"] == "running"
    assert ask.state("token-01", wait="nan", seen="running")["state"] == "running"


def test_a_cancel_says_what_it_found(ask):
    assert ask("POST", "/jobs/token-01/cancel")[1]["state"] == "unknown"
    ask.submit("token-01")
    ask.submit("token-02")
    eventually(lambda: ask.state("token-01")["state"] == "running")
    assert ask("POST", "/jobs/token-02/cancel")[1]["state"] == "cancelled"
    assert ask("POST", "/jobs/token-01/cancel")[1]["cancelling"] is True


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "bad_json"),
        (b"[" * 100_000, 400, "bad_json"),
        (b"[]", 400, "bad_json"),
        ({}, 422, "bad_token"),
        ({"token": "../../etc/passwd", "kind": "txt2img", "payload": {}}, 422, "bad_token"),
        ({"token": "short", "kind": "txt2img", "payload": {}}, 422, "bad_token"),
        ({"token": "token-01", "kind": "video", "payload": {}}, 422, "bad_kind"),
        ({"token": "token-01", "kind": ["txt2img"], "payload": {}}, 422, "bad_kind"),
        ({"token": "token-01", "kind": "txt2img", "payload": "x"}, 422, "bad_payload"),
    ],
)
def test_a_bad_request_is_refused_with_a_sentence(ask, body, status, code):
    answer = ask("POST", "/jobs", body)
    assert (answer[0], answer[1]["error"]) == (status, code)
    assert answer[1]["message"].endswith(".")
    assert ask.state("token-01")["state"] == "unknown"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/jobs", 405),
        ("PUT", "/jobs/token-01", 405),
        ("GET", "/jobs/token-01/cancel", 405),
        ("GET", "/jobs/..%2F..%2Fx", 404),
        ("GET", "/jobs/token-01/other", 404),
        ("GET", "", 404),
    ],
)
def test_what_there_is_not_is_said(ask, method, path, status):
    assert ask(method, path)[0] == status


# --- several programs ------------------------------------------------------------------------


def test_two_programs_on_one_folder_share_the_token_and_nothing_else(tmp_path):
    first, second = Asked(tmp_path), Asked(tmp_path)
    assert first.token == second.token
    first.submit("token-01")
    assert second.state("token-01")["state"] == "unknown"
    second.companion.stop()
    third = Asked(tmp_path)
    assert first.state("token-01")["state"] in ("queued", "running")
    assert third.state("token-01")["state"] == "unknown", "not taken for a crash's remains"
    first.companion.stop()
    third.companion.stop()
