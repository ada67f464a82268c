"""Many event streams and sockets at once: what one costs in memory, and how late an event is."""

import asyncio
import base64
import json
import os
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import psutil

from bench.common import installation, params, percentile, tell_and_exit, verdict
from bench.progress import session_cookie
from tests.processes.installation import Installation

CLIENTS = 500
EVENTS = 20
PAUSE_SECONDS = 0.5


@dataclass
class _Client:
    """One open connection, and when each job's event arrived."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    arrived: dict[str, float] = field(default_factory=dict)
    hello: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        """Note what arrives; no JSON is read, so that 500 clients cost the machine little."""
        rest = b""
        while chunk := await self.reader.read(65536):
            now = time.perf_counter()
            rest += chunk
            if b'"last_event_id"' in rest:
                self.hello.set()
            while (at := rest.find(b'"job":"')) >= 0 and len(rest) >= at + 43:
                job = rest[at + 7 : at + 43].decode()
                self.arrived.setdefault(job, now)
                rest = rest[at + 43 :]
            rest = rest[-200:]


async def _open(port: int, head: str) -> _Client:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{head}\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    return _Client(reader, writer)


def _stream_head(token: str) -> str:
    return f"GET /api/v2/events HTTP/1.1\r\nAuthorization: Api-Key {token}"


def _socket_head(started: Installation, cookie: str) -> str:
    nonce = base64.b64encode(os.urandom(16)).decode()
    return (
        "GET /ws/events/ HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {nonce}\r\n"
        f"Origin: {started.url}\r\nCookie: {cookie}"
    )


def _memory(process: psutil.Process) -> float:
    """Return what the process has for itself and its part of what it shares, in kB."""
    return float(process.memory_full_info().pss) / 1024


async def _measure(started: Installation, heads: Sequence[str], name: str) -> None:
    web = started.process("web")
    before = _memory(web)
    async with AsyncExitStack() as stack:
        clients = []
        began = time.perf_counter()
        for head in heads:
            client = await _open(started.port, head)
            stack.callback(client.writer.close)
            reading = asyncio.create_task(client.read())
            stack.callback(reading.cancel)
            clients.append(client)
            if len(clients) % 20 == 0:
                await client.hello.wait()
        await asyncio.gather(*(client.hello.wait() for client in clients))
        opened = time.perf_counter() - began
        await asyncio.sleep(2)
        each = (_memory(web) - before) / len(clients)
        busy = web.cpu_times()
        sent = {}
        for seed in range(EVENTS):
            at = time.perf_counter()
            job = await asyncio.to_thread(_submit, started, seed)
            sent[job] = at
            await asyncio.sleep(PAUSE_SECONDS)
        await asyncio.sleep(2)
        used = web.cpu_times()
        late = [
            (client.arrived[job] - at) * 1000
            for client in clients
            for job, at in sent.items()
            if job in client.arrived
        ]
        missing = len(clients) * len(sent) - len(late)
        cpu = (used.user + used.system - busy.user - busy.system) / EVENTS * 1000
        grown = (_memory(web) - before) / len(clients)
        if not name:  # only to warm up
            return
        print(
            f"{name:<28} {each:5.0f} kB each ({grown:.0f} after use), opened in {opened:.1f} s;"
            f" from the request to the client: median {percentile(late, 0.5):.0f} ms,"
            f" p95 {percentile(late, 0.95):.0f} ms, last {max(late):.0f} ms; missing {missing};"
            f" CPU {cpu:.0f} ms an event (wanted ≤ 60 kB, ≤ 1000 ms):"
            f" {verdict(each <= 60 and max(late) <= 1000 and not missing)}"
        )


def _submit(started: Installation, seed: int) -> str:
    answer = started.api.post("/api/v2/generate", json={"generation_params": params(seed)})
    answer.raise_for_status()
    return str(json.loads(answer.content)["mobilesd_job_id"])


def _case(name: str, streams: int, sockets: int) -> None:
    """Measure in a web process of its own: memory that others gave back would count as none."""
    with installation() as started:
        started.fake("gpu").stop()  # known, but not running: only submissions make events
        # Enough for the limit of one key.
        stream = _stream_head(started.create_key("--scopes", "jobs:read,jobs:all"))
        socket = _socket_head(started, session_cookie(started))
        pairs = [stream, socket] * min(streams, sockets)
        rest = [stream] * (streams - sockets) + [socket] * (sockets - streams)
        asyncio.run(_measure(started, [stream, socket] * 20, ""))
        asyncio.run(_measure(started, [*pairs, *rest], name))


def main() -> None:
    half = CLIENTS // 2
    _case(f"{CLIENTS} event streams", CLIENTS, 0)
    _case(f"{CLIENTS} sockets", 0, CLIENTS)
    _case(f"{half} streams, {half} sockets", half, half)


if __name__ == "__main__":
    main()
    tell_and_exit()
