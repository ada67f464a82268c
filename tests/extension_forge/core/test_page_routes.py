"""What the panel may ask, who may ask it, and what it never gets."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from mobilesd_forge import asgi
from mobilesd_forge.page_routes import MAX_BODY, Answer, PageRoutes, Request
from mobilesd_forge.service import Service

from tests.extension_forge.core.conftest import KEY
from tests.extension_forge.core.scripted import Reply, Scripted, problem
from tests.extension_forge.core.some_jobs import HOSTILE, PNG, MobileSDWithJobs, job

SECRET = KEY.partition(".")[2]
JOB = job(1)["mobilesd_job_id"]
CHANGES = {
    "cancel": {"job": JOB},
    "retry": {"job": JOB},
    "outbox/again": {"name": "x"},
    "outbox/drop": {"name": "x"},
    "key": {"key": KEY},
    "key/forget": {},
    "test": {},
}


@pytest.fixture
def service(service_for: Callable[..., Service], server: Scripted) -> Service:
    server.answer = MobileSDWithJobs(job(1, "completed"), job(2))
    return service_for(server.url, KEY)


@pytest.fixture
def ask(service: Service) -> Callable[..., Answer]:
    routes = PageRoutes(service)

    def ask(method: str, path: str, said: Any = None, **headers: str) -> Answer:
        given = {
            "x-mobilesd-page": service.page_token,
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        return routes.answer(Request(method, path, given, body))

    return ask


def text(answer: Answer) -> str:
    return str(json.loads(answer.body)["text"])


@pytest.mark.parametrize("path", ["state", "held", "key", f"thumbnail/{JOB}/0", f"infotext/{JOB}"])
def test_nothing_is_told_without_the_pages_token(ask: Callable[..., Answer], path: str) -> None:
    for token in ("", "wrong", "ä"):
        assert ask("GET", path, x_mobilesd_page=token).status == 403


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize(
    "headers",
    [
        {"x_mobilesd_page": ""},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"origin": "http://evil.example", "host": "forge:7860"},
        {"origin": "null", "host": "forge:7860"},
        {"origin": "http://forge:7861", "host": "forge:7860"},
    ],
)
def test_nothing_is_changed_for_others(
    ask: Callable[..., Answer],
    service: Service,
    server: Scripted,
    path: str,
    headers: dict[str, str],
) -> None:
    before = service.key_shown()
    assert ask("POST", path, CHANGES[path], **headers).status == 403
    assert service.key_shown() == before
    assert not server.asked


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec_fetch_site": "same-origin", "origin": "http://x", "host": "y"},
        {"origin": "http://forge:7860", "host": "forge:7860"},
        {"origin": "https://sd.example", "host": "127.0.0.1", "x_forwarded_host": "sd.example"},
    ],
)
def test_the_page_itself_may(ask: Callable[..., Answer], headers: dict[str, str]) -> None:
    assert ask("POST", "cancel", {"job": JOB}, **headers).status == 200


@pytest.mark.parametrize("path", CHANGES)
def test_changes_need_a_post(ask: Callable[..., Answer], server: Scripted, path: str) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        answer = ask(method, path, CHANGES[path])
        assert answer.status in {404, 405} or (method, path) == ("GET", "key")
    assert not server.asked


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_form_of_another_page_is_no_json(ask: Callable[..., Answer], kind: str) -> None:
    assert ask("POST", "cancel", {"job": JOB}, content_type=kind).status == 415


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"job": 5}', b'{"job": null}', b"[" * 9999])
def test_what_is_no_object_of_texts_is_refused(ask: Callable[..., Answer], body: bytes) -> None:
    assert ask("POST", "cancel", body).status == 400


def test_what_is_missing_is_named(ask: Callable[..., Answer]) -> None:
    answer = ask("POST", "cancel", {})
    assert (answer.status, text(answer)) == (400, "job is missing.")


@pytest.mark.parametrize("path", ["", "x", "state/../key", "outbox", "thumbnail", "thumbnail/a"])
def test_other_paths_lead_nowhere(ask: Callable[..., Answer], path: str) -> None:
    assert ask("GET", path).status == ask("POST", path, {}).status == 404


def test_the_state_tells_the_outbox_and_the_jobs(
    ask: Callable[..., Answer], service: Service
) -> None:
    service.submit({"positive_prompt": HOSTILE}, click_id="1", count=3)
    service.watcher.read_list()
    said = json.loads(ask("GET", "state").body)
    assert [(e["state"], e["count"]) for e in said["outbox"]] == [("waiting", 3)]
    assert said["outbox"][0]["prompt"] == HOSTILE
    assert [j["status"] for j in said["jobs"]] == ["completed", "pending"]
    assert said["jobs"][1]["waiting"] == "gpu works on another job."
    assert said["pending"] == 1
    assert (said["waiting"], said["refused"], said["damaged"]) == (1, 0, 0)


def test_a_state_that_is_known_is_not_sent_again(
    ask: Callable[..., Answer], service: Service
) -> None:
    mark = ask("GET", "state").headers["ETag"]
    assert ask("GET", "state", if_none_match=mark).status == 304
    service.submit({"positive_prompt": "x"}, click_id="1")
    assert ask("GET", "state", if_none_match=mark).status == 200


def test_the_key_goes_in_and_never_out(
    ask: Callable[..., Answer], service: Service, server: Scripted
) -> None:
    answers = [ask("POST", "key", {"key": KEY}), ask("GET", "key"), ask("GET", "state")]
    answers.append(ask("POST", "key", {"key": f"{SECRET} {SECRET}"}))
    answers.append(ask("POST", "test", {}))
    service.watcher.read_list()
    answers.append(ask("GET", f"infotext/{JOB}"))
    for answer in answers:
        assert SECRET.encode() not in answer.body
        assert SECRET not in str(answer.headers)
        assert answer.headers["Cache-Control"] == "no-store"
    assert json.loads(answers[1].body) == {
        "stored": True,
        "prefix": "abcdefgh",
        "address": server.url,
    }
    assert answers[3].status == 409
    assert "is no API key of MobileSD" in text(answers[3])


def test_forgetting_the_key(ask: Callable[..., Answer], service: Service) -> None:
    assert json.loads(ask("POST", "key/forget", {}).body)["stored"] is False
    assert service.key_file.read() is None


def test_a_picture_is_asked_of_mobilesd_once(
    ask: Callable[..., Answer], service: Service, server: Scripted
) -> None:
    service.watcher.read_list()
    before = len(server.asked)
    for _ in range(2):
        answer = ask("GET", f"thumbnail/{JOB}/0")
        assert (answer.status, answer.body) == (200, PNG)
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert [asked.path for asked in server.asked[before:]] == [
        "/api/v2/images/5/thumbnail?size=256"
    ]


@pytest.mark.parametrize("place", ["1", "-1", "x", "99999", "0/0", "²", ""])
def test_a_picture_that_is_not_there(
    ask: Callable[..., Answer], service: Service, place: str
) -> None:
    service.watcher.read_list()
    assert ask("GET", f"thumbnail/{JOB}/{place}").status in {404, 409}
    assert ask("GET", f"thumbnail/{job(9)['mobilesd_job_id']}/0").status == 409


def test_the_infotext_of_a_job_that_is_done(ask: Callable[..., Answer], service: Service) -> None:
    service.watcher.read_list()
    answer = ask("GET", f"infotext/{JOB}")
    assert json.loads(answer.body)["infotext"].startswith("a boat\nSteps: 4")
    assert ask("GET", f"infotext/{job(2)['mobilesd_job_id']}").status == 404


@pytest.mark.parametrize("path", ["cancel", "retry"])
def test_a_change_reaches_mobilesd_under_the_jobs_own_path(
    ask: Callable[..., Answer], server: Scripted, path: str
) -> None:
    assert ask("POST", path, {"job": JOB}).status == 200
    ask("POST", path, {"job": "../../../admin?x="})
    assert [asked.path for asked in server.asked] == [
        f"/api/v2/jobs/{JOB}/{path}",
        f"/api/v2/jobs/..%2F..%2F..%2Fadmin%3Fx%3D/{path}",
    ]


def test_mobilesds_refusal_is_handed_on_in_words(
    ask: Callable[..., Answer], server: Scripted
) -> None:
    server.answer = lambda asked: problem(409, "job_operation_conflict", message="It has ended.")
    answer = ask("POST", "cancel", {"job": JOB})
    assert (answer.status, text(answer)) == (409, "It has ended.")


def test_a_fault_of_our_own_is_no_traceback(
    ask: Callable[..., Answer], service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "state", lambda: 1 / 0)
    answer = ask("GET", "state")
    assert (answer.status, text(answer)) == (
        500,
        "The extension failed (ZeroDivisionError). See Forge's log.",
    )


def test_hostile_jobs_become_plain_ones(
    service: Service, server: Scripted, ask: Callable[..., Answer]
) -> None:
    odd: list[Any] = [
        5,
        {},
        {"mobilesd_job_id": 1, "status": "pending"},
        {"mobilesd_job_id": "x", "status": "odd"},
        job(3, "processing", progress=float("inf"), estimated_time_remaining="soon"),
        job(4, "failed", error="oh", generation_params=[], warnings=5),
        job(5, "completed", result_details={"thumbnail_urls": [5], "info": {"a": 1}}),
        job(6, generation_params={"positive_prompt": "x" * 99999}, queue_position=True),
    ]
    server.answer = lambda asked: Reply(json={"filters": {"source": ""}, "jobs": odd})
    service.watcher.read_list()
    three, four, five, six = json.loads(ask("GET", "state").body)["jobs"]
    assert (three["progress"], three["eta"]) == (1.0, None)
    assert (four["error"], four["warnings"], four["prompt"]) == ("", [], "")
    assert (five["pictures"], five["can_send_back"]) == (0, False)
    assert (len(six["prompt"]), six["position"]) == (200, None)


# --- ASGI ------------------------------------------------------------------------------------


def through_asgi(service: Service, path: str, *pieces: bytes, **headers: str) -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []
    left = list(pieces) or [b""]

    async def receive() -> dict[str, Any]:
        if not left:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    names = {"x-mobilesd-page": service.page_token, "content-type": "application/json", **headers}
    scope = {
        "type": "http",
        "method": "POST" if pieces else "GET",
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in names.items()],
    }
    asyncio.run(asgi.application(PageRoutes(service))(scope, receive, send))
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.parametrize("path", ["/mobilesd/page/key", "/key", "/forge/mobilesd/page/key"])
def test_a_mount_may_leave_the_path_as_it_likes(service: Service, path: str) -> None:
    status, body = through_asgi(service, path)
    assert status == 200
    assert json.loads(body)["prefix"] == "abcdefgh"


def test_a_body_may_come_in_pieces_and_is_bounded(service: Service) -> None:
    assert through_asgi(service, "/cancel", b'{"job": ', f'"{JOB}"}}'.encode())[0] == 200
    assert through_asgi(service, "/cancel", *[b" " * 1024] * (MAX_BODY // 1024 + 1))[0] == 413
