"""One real web process for all tests of bad input, and a client that can send anything."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.processes.conftest import prepared_folder  # noqa: F401
from tests.processes.installation import Installation

PATIENCE = 3.0


class Answer:
    """What came back: status, headers, body; `status` 0 if nothing did."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1]) if head else 0
        pairs = (line.partition(": ") for line in lines[1:])
        self.headers = {name.lower(): value for name, _, value in pairs}

    @property
    def error(self) -> str:
        """The code of the error envelope, which has to be whole."""
        body = json.loads(self.body)
        assert body["success"] is False
        assert body["message"]
        assert body["details"]["hint"]
        assert body["details"]["code"] == body["error"].upper()
        assert body["details"]["request_id"] == self.headers["x-request-id"]
        return str(body["error"])


class Wire:
    """Raw requests to the web process."""

    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.token = token

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def send(self, raw: bytes) -> Answer:
        """Send bytes and read until the server closes the connection."""
        with self.connect() as connection:
            connection.sendall(raw)
            return Answer(read_all(connection))

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        token: str | None = None,
        **headers: str,
    ) -> Answer:
        """Send a request with the key, and `Connection: close`; `_` in header names means `-`."""
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: localhost",
            "Connection: close",
            f"Authorization: Api-Key {self.token if token is None else token}",
            *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        ]
        if body:
            lines.append(f"Content-Length: {len(body)}")
            if "Content_Type" not in headers:
                lines.append("Content-Type: application/json")
        return self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def post(self, body: bytes, **headers: str) -> Answer:
        return self.request("POST", "/api/v2/generate", body, **headers)


def read_all(connection: socket.socket) -> bytes:
    found = b""
    while True:
        try:
            chunk = connection.recv(65536)
        except ConnectionResetError:
            return found
        if not chunk:
            return found
        found += chunk


@pytest.fixture(scope="session")
def web(
    prepared_folder: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    import shutil

    folder = tmp_path_factory.mktemp("hostile") / "data"
    shutil.copytree(prepared_folder, folder)
    env = {"MOBILESD_PATIENCE_SECONDS": str(PATIENCE)}
    with Installation(folder, arguments=["--only", "web"], env=env) as inst:
        yield inst


@pytest.fixture(scope="session")
def token(web: Installation) -> str:
    return web.create_key("--scopes", "jobs:read,jobs:write")


@pytest.fixture
def wire(web: Installation, token: str) -> Wire:
    return Wire(web.port, token)


@pytest.fixture
def process(web: Installation) -> psutil.Process:
    return web.process("web")


def accesses(web: Installation, **where: Any) -> int:
    """Count requests in the access log, from outside of the process that writes it."""
    code = (
        "from django.db.models import Sum; from apikeys.models import Access;"
        f"print(Access.objects.filter(**{where!r}).aggregate(n=Sum('times'))['n'] or 0)"
    )
    return int(web.manage("shell", "-v", "0", "-c", code).strip().splitlines()[-1])
