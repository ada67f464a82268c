"""The companion mounted in an app, as Forge's server calls it."""

import asyncio
import json

import pytest
from mobilesd_forge import companion
from mobilesd_forge.companion import asgi
from mobilesd_forge.companion.routes import PREFIX

from tests.extension_forge.companion.conftest import eventually
from tests.extension_forge.companion.engines import HandEngine, answered


class App:
    """What `install` needs of FastAPI."""

    def __init__(self):
        self.mounted = {}

    def mount(self, path, app):
        self.mounted[path] = app

    def ask(self, method, path, body=b"", *, headers=(), chunks=1):
        """Send one request as uvicorn does; return status, headers and body."""
        return asyncio.run(self._ask(method, path, body, headers, chunks))

    async def _ask(self, method, path, body, headers, chunks):
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers],
            "client": ("10.0.0.2", 1234),
        }
        size = max(len(body) // chunks, 1)
        parts = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
        messages = [
            {"type": "http.request", "body": part, "more_body": part is not parts[-1]}
            for part in parts
        ]
        sent = []

        async def receive():
            return messages.pop(0)

        async def send(message):
            sent.append(message)

        await self.mounted[PREFIX](scope, receive, send)
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], found, b"".join(part["body"] for part in sent[1:])


@pytest.fixture
def engine():
    return HandEngine()


@pytest.fixture
def app(tmp_path, engine):
    app = App()
    app.companion = companion.install(app, engine, tmp_path)
    app.token = [("X-MobileSD-Token", app.companion.token.value())]
    yield app
    app.companion.stop()


@pytest.mark.parametrize("before", ["", PREFIX, f"/forge{PREFIX}"])
def test_paths_are_understood_with_and_without_the_prefix(app, before):
    """Starlette's Mount leaves it in the path, or takes it away, by its version."""
    status, headers, body = app.ask("GET", f"{before}/hello")
    assert (status, json.loads(body)["token"]) == (200, "needed")
    assert headers["content-length"] == str(len(body))
    assert headers["content-type"] == "application/json"


def test_a_job_goes_through_and_its_result_comes_in_pieces(app, engine, monkeypatch):
    monkeypatch.setattr(asgi, "_CHUNK", 1000)
    job = {"token": "token-01", "kind": "txt2img", "payload": {"prompt": "x" * 5000}}
    status, _, body = app.ask(
        "POST", f"{PREFIX}/jobs", json.dumps(job).encode(), headers=app.token, chunks=7
    )
    assert (status, json.loads(body)["state"]) == (202, "queued")
    engine.finish(answered(images=["y" * 10_000]))
    eventually(lambda: app.companion.jobs.get("token-01").state == "done")
    status, headers, body = app.ask("GET", f"{PREFIX}/jobs/token-01/result", headers=app.token)
    assert (status, headers["content-length"]) == (200, str(len(body)))
    assert json.loads(body) == {"images": ["y" * 10_000]}


def test_a_query_is_read(app, engine):
    app.companion.jobs.submit("token-01", "txt2img", {})
    path = f"{PREFIX}/jobs/token-01?wait=0.1&seen=running"
    assert json.loads(app.ask("GET", path, headers=app.token)[2])["kind"] == "txt2img"


@pytest.mark.parametrize("headers", [[("content-length", "99")], []])
def test_what_is_too_large_is_refused(app, monkeypatch, headers):
    monkeypatch.setattr(asgi, "MAX_BODY", 50)
    status, _, body = app.ask("POST", f"{PREFIX}/jobs", b"x" * 99, headers=app.token + headers)
    assert (status, json.loads(body)["error"]) == (413, "too_large")


def test_a_second_app_of_the_same_program_goes_on_with_the_same_jobs(app, engine, tmp_path):
    """ "Reload UI" makes one, while a picture may be running."""
    app.companion.jobs.submit("token-01", "txt2img", {})
    eventually(lambda: engine.begun)
    other = App()
    assert companion.install(other, HandEngine(), tmp_path) is app.companion
    status, _, body = other.ask("GET", f"{PREFIX}/jobs/token-01", headers=app.token)
    assert (status, json.loads(body)["state"]) == (200, "running")
    assert engine.apps == [app, other]


def test_a_folder_that_can_not_be_written_costs_the_companion_and_nothing_else(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    assert companion.install(App(), HandEngine(), tmp_path / "file" / "data") is None
    assert "companion can't start" in caplog.text


def test_what_is_wrong_with_the_engine_is_said_in_the_log(tmp_path, engine, caplog):
    engine.problems = ("Forge runs without its API. Start it with --api.",)
    companion.install(App(), engine, tmp_path).stop()
    assert "Start it with --api." in caplog.text
