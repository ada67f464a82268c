"""The fake as a server: its socket, its start-up, its end."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dispatch.fakes.forge.companion import FakeCompanion
from dispatch.fakes.forge.connection import Connection
from dispatch.fakes.forge.control import Control
from dispatch.fakes.forge.engine import Engine
from dispatch.fakes.forge.faults import CONNECTION, Faults
from dispatch.fakes.forge.inventory import (
    DEFAULT_CHECKPOINTS,
    DEFAULT_LORAS,
    Checkpoint,
    Inventory,
    Lora,
)
from dispatch.fakes.forge.options import Options
from dispatch.fakes.forge.routes import Request, Response, Routes
from dispatch.fakes.forge.runlog import RunLog

# Parts of the start-up time: nobody listens; then the port is open and the API is not there;
# then routes of extensions are still missing for a moment (kill/startup-webui, auth/none-loras).
_REFUSING_PART = 0.5
_EXTENSIONS_LATE_PART = 0.1
_EXTENSIONS_LATE_MOST = 0.5
_RESET_ON_CLOSE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class FakeForge:
    """A Forge server on a real port.

    `seconds` is the time of one picture's sampling (or `step_seconds` that of each step),
    `load_seconds` of a checkpoint change.
    Checkpoints and LoRAs are file names or Checkpoint and Lora objects. `options` are set at
    the start; `scripts` are always-on scripts of further extensions. A `log` given from
    outside outlives the server, as a restarted one forgets everything. `companion` is the data
    folder of an installed companion: what lies there outlives the server.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        seconds: float = 0.5,
        step_seconds: float | None = None,
        load_seconds: float = 0.0,
        startup_seconds: float = 0.0,
        checkpoints: Iterable[Checkpoint | str] = DEFAULT_CHECKPOINTS,
        loras: Iterable[Lora | str] = DEFAULT_LORAS,
        embeddings: Iterable[str] = (),
        options: dict[str, Any] | None = None,
        scripts: Iterable[str] = (),
        nowebui: bool = False,
        api_auth: str | None = None,
        log: RunLog | None = None,
        companion: Path | None = None,
    ) -> None:
        self.host = host
        self.faults = Faults()
        self.log = log or RunLog()
        self.inventory = Inventory(
            [Checkpoint(item) if isinstance(item, str) else item for item in checkpoints],
            [Lora(item) if isinstance(item, str) else item for item in loras],
            embeddings,
        )
        listed = self.inventory.listed()
        selected = {"sd_model_checkpoint": listed[0].name} if listed else {}
        self.options = Options({**selected, **(options or {})})
        self.engine = Engine(
            self.inventory,
            self.options,
            self.faults,
            seconds,
            load_seconds,
            tuple(scripts),
            step_seconds,
        )
        self.companion = (
            None if companion is None else FakeCompanion(self.engine, self.log, companion)
        )
        self._routes = Routes(
            self.engine, self.log, webui=not nowebui, api_auth=api_auth, companion=self.companion
        )
        self._control = Control(self.faults, self.log, self.inventory)
        self._startup_seconds = startup_seconds
        self._refusing_seconds = startup_seconds * (1.0 if nowebui else _REFUSING_PART)
        self._ready_at = self._extensions_at = 0.0
        self._port = port
        self._listener: socket.socket | None = None
        self._open = threading.Event()
        self._acceptor: threading.Thread | None = None
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()

    @property
    def port(self) -> int:
        """Return the real port, once started; it stays known after the end."""
        return self._port

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def start(self) -> Self:
        """Take the port and serve in a thread. Raise OSError if the port is taken."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        if os.name == "posix":  # on Windows the option would let two servers share the port
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((self.host, self._port))
        except OSError:
            self._listener.close()
            raise
        self._port = int(self._listener.getsockname()[1])
        now = time.monotonic()
        self._ready_at = now + self._startup_seconds
        late = min(self._startup_seconds * _EXTENSIONS_LATE_PART, _EXTENSIONS_LATE_MOST)
        self._extensions_at = self._ready_at + late
        if not self._refusing_seconds:
            self._listen()
        self._acceptor = threading.Thread(target=self._serve, name="fake-forge", daemon=True)
        self._acceptor.start()
        return self

    def wait_open(self) -> None:
        """Block until the port accepts connections."""
        self._open.wait()

    def stop(self) -> None:
        """End at once, as a killed server does: running jobs are lost, connections cut."""
        if self.companion is not None:
            self.companion.stop()
        self.engine.stop()
        if self._listener is None or self._acceptor is None:
            return
        if self._open.is_set():
            # Closing a socket does not wake a thread in accept() everywhere; a caller does.
            host = _ANY_HOST.get(self.host, self.host)
            with contextlib.suppress(OSError):
                socket.create_connection((host, self.port), timeout=1).close()
        self._acceptor.join(timeout=5)
        self._listener.close()
        with self._connections_lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def handle(self, request: Request) -> Response:
        """Answer one request, whatever the faults. Raise ServerStopped."""
        now = time.monotonic()
        if now < self._ready_at and request.path.startswith(("/sdapi/", "/internal/")):
            return Response(404, b'{"detail":"Not Found"}')
        return self._routes.handle(request, early=now < self._extensions_at)

    def control(self, request: Request) -> Response:
        return self._control.handle(request)

    def _listen(self) -> None:
        assert self._listener is not None
        self._listener.listen(128)
        self._open.set()

    def _serve(self) -> None:
        assert self._listener is not None
        if not self._open.is_set():
            if self.engine.stopping.wait(self._refusing_seconds):
                return
            self._listen()
        while True:
            try:
                connection, address = self._listener.accept()
            except OSError:
                return
            if self.engine.stopping.is_set():
                connection.close()
                return
            if self.faults.take(CONNECTION):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                connection.close()
                continue
            threading.Thread(
                target=self._talk, args=(connection, address), name="fake-forge", daemon=True
            ).start()

    def _talk(self, connection: socket.socket, address: object) -> None:
        with self._connections_lock:
            self._connections.add(connection)
        try:
            with contextlib.suppress(OSError):
                Connection(connection, address, self)
        finally:
            with self._connections_lock:
                self._connections.discard(connection)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            connection.close()
