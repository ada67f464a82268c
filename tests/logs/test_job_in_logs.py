"""One id leads from the request over the job and its attempt to the calls of the backend."""

import json
import logging
import uuid

import pytest
from django.test import Client

from dispatch.fakes.forge import FakeForge
from jobs.models import Attempt, Job
from tests import factories
from tests.api.conftest import Api
from tests.dispatch.lane_harness import connected, lane, until_final

pytestmark = pytest.mark.django_db(transaction=True)

PROMPT = "a very private garden"
SERVER_PASSWORD = "hunter2-geheim"
PARAMS = {"positive_prompt": PROMPT, "width": 64, "height": 64, "steps": 4}


@pytest.fixture
def everything():
    """Log everything, as somebody does who looks for an error."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.DEBUG)
    yield
    root.setLevel(before)


def grep(folder, word: str) -> list[dict]:
    found = []
    for path in (folder / "logs").glob("*.log*"):
        if path.suffix != ".lock":
            found += [json.loads(line) for line in path.read_text().splitlines() if word in line]
    return found


def made(token: str, asked: str, **fault) -> Job:
    """Submit a job over REST, and let a lane make it on a fake."""
    with FakeForge(seconds=0.2, api_auth=f"u:{SERVER_PASSWORD}") as fake:
        server = connected(fake, username="u", password=SERVER_PASSWORD)
        if fault:
            fake.faults.add(**fault)
        body = {"generation_params": PARAMS, "source_info": "test"}
        answer = Api(token).send("POST", "/api/v2/generate", body, **{"X-Request-ID": asked})
        job = Job.objects.get(pk=answer.json()["mobilesd_job_id"])
        Job.objects.filter(pk=job.pk).update(max_attempts=1)
        with lane(server, linger=0.1):
            until_final([job])
    return job


def test_one_grep_by_the_request_shows_the_whole_way(data_dir, everything):
    _, token = factories.key()
    asked = f"req-{uuid.uuid4().hex[:8]}"
    job = made(token, asked)
    assert job.request_id == asked
    lines = grep(data_dir, asked)
    said = [(line["event"], line.get("status")) for line in lines]
    for step in (
        ("job.created", "pending"),
        ("job.status", "processing"),
        ("job.status", "completed"),
        ("backend call begins", None),
        ("backend call", None),
    ):
        assert step in said
    attempt = str(Attempt.objects.get().token)
    [call] = [line for line in lines if line.get("path") == "/sdapi/v1/txt2img" and "ms" in line]
    assert (call["job"], call["attempt"], call["server"]) == (str(job.pk), attempt, "a")
    assert (call["method"], call["http_status"], call["level"]) == ("POST", 200, "info")
    assert call["sent"] > 100 and call["received"] > 100
    polls = [line for line in lines if line.get("path") == "/internal/progress"]
    assert polls and {line["level"] for line in polls} == {"debug"}
    assert {line["job"] for line in grep(data_dir, attempt)} == {str(job.pk)}


def test_neither_secrets_nor_prompts_are_in_any_log(data_dir, everything):
    key, token = factories.key()
    made(token, "req-secret")
    Api("x" + token).send("POST", "/api/v2/generate", {"generation_params": PARAMS})
    Api(token).send("POST", f"/api/v2/generate?key={token}", {"generation_params": PROMPT})
    staff = factories.staff()
    form = {"username": staff.username, "password": factories.PASSWORD}
    assert Client().post("/sign-in", form).status_code == 302
    content = "".join(path.read_text() for path in (data_dir / "logs").glob("*"))
    assert content.count("\n") > 20
    for secret in (token.partition(".")[2], PROMPT, SERVER_PASSWORD, factories.PASSWORD):
        assert secret not in content
    assert key.prefix in content  # who asked is told, by what is no secret


def test_an_error_that_quotes_the_prompt_is_logged_without_it(data_dir, everything):
    fault = {"kind": "http_500", "message": f"bad prompt: {PROMPT}", "times": 9}
    job = made(factories.key()[1], "req-quoting", **fault)
    assert PROMPT in Job.objects.get(pk=job.pk).error_message
    assert "backend_error" in {line.get("code") for line in grep(data_dir, str(job.pk))}
    assert not grep(data_dir, PROMPT)


def test_the_backend_gets_the_id_of_the_request(monkeypatch):
    seen = set()
    handle = FakeForge.handle

    def noting(fake, request):
        seen.add((request.path, request.headers.get("x-request-id")))
        return handle(fake, request)

    monkeypatch.setattr(FakeForge, "handle", noting)
    made(factories.key()[1], "req-to-backend")
    assert ("/sdapi/v1/txt2img", "req-to-backend") in seen
    assert ("/sdapi/v1/options", None) in seen  # what no job asked for has none
