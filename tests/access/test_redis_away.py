"""While Redis does not answer, requests do: nothing is counted, and that is said."""

import logging
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from django.core.cache import caches
from django.test import Client

from mobilesd.supervisor.network import free_port
from tests import factories
from tests.api.conftest import Api
from tests.processes.installation import eventually

pytest.importorskip("redis")
from mobilesd import sparing

SERVER = shutil.which("redis-server")
pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("processes")]
JOBS = "/api/v2/jobs"
SAID = ["Redis does not answer. Until it does, no rate limit is counted."]


@pytest.fixture
def port(settings, monkeypatch) -> Iterator[int]:
    """Let the caches be in a Redis at this port, where there is none yet."""
    number = free_port()
    where = {
        "BACKEND": "mobilesd.sparing.SparedRedisCache",
        "LOCATION": f"redis://127.0.0.1:{number}",
    }
    settings.CACHES = {"default": where, "ratelimit": where}
    settings.REDIS_URL = where["LOCATION"]
    monkeypatch.setattr(sparing, "_outage", sparing._Outage())
    monkeypatch.setattr(sparing, "PAUSE_SECONDS", 0.0)
    yield number
    del caches["ratelimit"], caches["default"]


@pytest.fixture
def start(port) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    running = []

    def begin() -> subprocess.Popen[bytes]:
        command = [str(SERVER), "--port", str(port), "--save", "", "--bind", "127.0.0.1"]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        eventually(lambda: not sparing.does_not_answer(), 15, "Redis")
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait(10)


def _remaining(api: Api) -> int:
    answer = api.get(JOBS)
    assert answer.status_code == 200
    return int(answer.headers["X-RateLimit-Remaining"])


@pytest.mark.processes
@pytest.mark.skipif(SERVER is None, reason="there is no redis-server here")
def test_requests_pass_uncounted_until_redis_is_back(start, caplog):
    api = Api(factories.key(rate_limit=2)[1])
    process = start()
    assert [_remaining(api) for _ in range(2)] == [19, 18]
    process.kill()
    process.wait(10)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "mobilesd.sparing"):
        assert [_remaining(api) for _ in range(30)] == [20] * 30
        assert len(caplog.records) == 1  # not one for each request
    for path in ("/healthz", "/readyz"):
        answer = Client().get(path)
        assert (answer.status_code, answer.json()["warnings"]) == (200, SAID)
    start()
    assert _remaining(api) == 19
    assert "warnings" not in Client().get("/readyz").json()
    assert "answers again" in caplog.text


def test_pages_and_refused_attempts_work_without_redis(port):
    client = Client()
    client.force_login(factories.user())
    assert client.get("/").status_code == 200
    assert client.get("/").status_code == 200
    assert Api("none0000.secret").get(JOBS).json()["error"] == "invalid_api_key"


def test_a_redis_that_hangs_holds_up_one_request_at_a_time(port, monkeypatch):
    monkeypatch.setattr(sparing, "PAUSE_SECONDS", 60.0)
    api = Api(factories.key()[1])
    with socket.create_server(("127.0.0.1", port)):  # takes connections, and answers nothing
        began = time.monotonic()
        for _ in range(5):
            assert api.get(JOBS).status_code == 200
        assert time.monotonic() - began < 3 * sparing.ANSWER_SECONDS + 1
    assert sparing.does_not_answer()
