"""Several web processes count in Redis, and get together exactly what is allowed."""

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

from apikeys.limits import Bucket, check
from apikeys.models import ApiKey
from mobilesd.supervisor.network import free_port
from tests.processes.installation import eventually

pytest.importorskip("redis")
SERVER = shutil.which("redis-server")
pytestmark = [
    pytest.mark.processes,
    pytest.mark.xdist_group("processes"),
    pytest.mark.skipif(SERVER is None, reason="there is no redis-server here"),
]


@pytest.fixture
def counters(settings) -> Iterator[BaseCache]:
    port = free_port()
    server = subprocess.Popen(
        [str(SERVER), "--port", str(port), "--save", "", "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
    )
    settings.CACHES = {
        **settings.CACHES,
        "ratelimit": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"redis://127.0.0.1:{port}",
        },
    }

    def answers() -> bool:
        from redis.exceptions import ConnectionError as Refused

        try:
            caches["ratelimit"].get("x")
        except Refused:
            return False
        return True

    try:
        eventually(answers, 15, "Redis")
        yield caches["ratelimit"]
    finally:
        server.terminate()
        server.wait(10)


def test_who_counts_in_redis_gets_exactly_what_is_allowed(counters):
    # Each thread has a connection of its own, as each process would.
    key = ApiKey(prefix="abcdefgh", rate_limit=100)

    def ask(_: int) -> int:
        return sum(check(key, Bucket.SUBMISSIONS).admitted for _ in range(50))

    with ThreadPoolExecutor(8) as pool:
        admitted = sum(pool.map(ask, range(8)))
    assert admitted == 100
