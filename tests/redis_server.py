"""A Redis server of this test run's own, with nothing in it."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mobilesd.supervisor.network import free_port
from tests.processes.installation import eventually

__all__ = ["RedisServer", "redis_server"]

PROGRAM = shutil.which("redis-server")


class RedisServer:
    """One process; it can be stopped and started again in the middle of a test."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, empty; return when it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen([str(PROGRAM), *options], stdout=subprocess.DEVNULL)
        eventually(self._answers, 15, "Redis answers")

    def stop(self) -> None:
        """End it at once; what it held is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        import redis

        client = redis.Redis.from_url(self.url)
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False
        finally:
            client.close()


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Start a server; skips the test where there is none."""
    if PROGRAM is None:
        pytest.skip("Redis is not installed: no redis-server in the PATH.")
    server = RedisServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()
