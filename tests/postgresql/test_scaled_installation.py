"""PostgreSQL, Redis, and two web processes that share one installation, as docs/scaling.md says."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.postgres import PostgresServer, postgres_server
from tests.processes.installation import Api, Installation, eventually
from tests.redis_server import RedisServer, redis_server

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

LIMIT = 20
SOON = 1.0


class Stream:
    """The events as a program follows them over one of the web processes."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines

    def next(self) -> dict[str, Any]:
        for line in self._lines:
            if line.startswith("data: "):
                found: dict[str, Any] = json.loads(line.removeprefix("data: "))
                return found
        raise AssertionError("the stream ended")

    def until(self, job: str, kind: str, **fields: str) -> dict[str, Any]:
        """Return the next event of this kind about this job."""
        while True:
            event = self.next()
            wanted = {"job": job, "type": kind, **fields}
            if all(event.get(name) == value for name, value in wanted.items()):
                return event


@contextlib.contextmanager
def following(api: Api) -> Iterator[Stream]:
    answer = api.get("/api/v2/events", stream=True, timeout=30)
    assert answer.status_code == 200, answer.text
    with contextlib.closing(answer):
        stream = Stream(answer.iter_lines(chunk_size=1, decode_unicode=True))
        assert stream.next()["type"] == "hello"
        yield stream


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
def database() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@pytest.fixture
def webs(
    redis: RedisServer, database: PostgresServer, tmp_path: Path
) -> Iterator[tuple[Installation, Installation]]:
    """A whole installation, and one more web process beside it."""
    folder = tmp_path / "installation"
    env = {"MOBILESD_DATABASE_URL": database.url, "MOBILESD_REDIS_URL": redis.url}
    beside = {"arguments": ["--only", "web"], "run_dir": tmp_path / "second"}
    with Installation(folder, env=env) as first, Installation(folder, env=env, **beside) as second:
        yield first, second


@pytest.mark.timeout(300)
def test_two_web_processes_are_one_installation(
    webs: tuple[Installation, Installation], redis: RedisServer, database: PostgresServer
) -> None:
    first, second = webs
    key = first.create_key()
    one, other = Api(first.url, key), Api(second.url, key)
    first.fake("gpu", seconds=0.3)

    with following(other) as events:
        job = submitted(one)
        before = time.monotonic()
        events.until(job, "job.created")
        assert time.monotonic() - before < SOON
        events.until(job, "job.status", status="completed")
    picture = other.get(f"/api/v2/jobs/{job}/status").json()["job"]["result_details"]["image_urls"][
        0
    ]
    assert other.get(picture).content == one.get(picture).content != b""

    assert submitted(one, idempotency_key="k") == submitted(other, idempotency_key="k")
    check_limit_is_shared(first, second)

    redis.stop()
    with following(one) as events:
        job = submitted(other)
        events.until(job, "job.status", status="completed")
    redis.start()
    check_limit_is_shared(first, second)

    job = submitted(one)
    database.stop()
    refused = [api.get("/api/v2/whoami") for api in (one, other)]
    assert [(r.status_code, r.json()["error"]) for r in refused] == [(503, "database_busy")] * 2
    database.start()
    # Each of the threads that answer had a connection of before.
    again = [api.get("/api/v2/whoami").status_code for _ in range(20) for api in (one, other)]
    assert set(again) == {200}
    eventually(lambda: is_completed(other, job), 60, "the picture of before")
    with following(other) as events:
        job = submitted(one)
        events.until(job, "job.status", status="completed")


def is_completed(api: Api, job: str) -> bool:
    return bool(api.get(f"/api/v2/jobs/{job}/status").json()["job"]["status"] == "completed")


def submitted(api: Api, **order: Any) -> str:
    asked = {"positive_prompt": "a boat", "width": 64, "height": 64, "steps": 4}
    answer = api.post("/api/v2/generate", json={"generation_params": asked, **order})
    assert answer.status_code in (200, 202), answer.text
    return str(answer.json()["mobilesd_job_id"])


def check_limit_is_shared(first: Installation, second: Installation) -> None:
    """Send more than is allowed in turns to both: together they take what is allowed."""
    key = first.create_key("--rate", f"{LIMIT}/m")
    one, other = Api(first.url, key), Api(second.url, key)
    left = 0

    def counted() -> bool:
        nonlocal left
        headers = send_nothing(one).headers
        left = int(headers.get("X-RateLimit-Remaining", 0))
        # The window lasts until we are through.
        return left > 0 and int(headers["X-RateLimit-Reset"]) > 10

    eventually(counted, 60, "Redis counts")
    codes = [send_nothing(api).status_code for _ in range(LIMIT) for api in (one, other)]
    assert codes == [400] * left + [429] * (2 * LIMIT - left)


def send_nothing(api: Api) -> requests.Response:
    """Send an order that is refused, and counted as any other."""
    return api.post("/api/v2/generate", json={})
