"""What the API answers a second to 8 keep-alive clients, beside GET /status of the same process.

Each figure is the best of ROUNDS rounds of its ratio; in a round it is measured right after
/status, so that both see the same machine.

The line below it has the time of processors that one answer takes: of the web process, and of all
processes of the installation. It is the median of the rounds, and holds on a busy machine too.
"""

import contextlib
import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psutil

from bench.common import installation, params, seed, tell_and_exit, verdict
from tests.processes.installation import Api, Installation

CLIENTS = 8
SECONDS = 4.0
ROUNDS = 3
MANY = 100_000

_Request = Callable[[http.client.HTTPConnection, int], int]


@dataclass(frozen=True)
class Load:
    """Answers a second; the processors' ms for each, of the web process and of all; the errors."""

    answers: float
    web_ms: float
    all_ms: float
    failed: int


@dataclass(frozen=True)
class Round:
    """What was measured, and /status right before it."""

    this: Load
    status: Load

    @property
    def ratio(self) -> float:
        return self.this.answers / self.status.answers


def _client(
    started: Installation, request: _Request, number: int, counts: list[int], failures: list[int]
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=30)
    end = time.monotonic() + SECONDS
    done = 0
    while time.monotonic() < end:
        if request(connection, number * 1_000_000 + done) >= 400:
            failures.append(1)
        done += 1
    counts.append(done)
    connection.close()


def _load(started: Installation, request: _Request) -> Load:
    counts: list[int] = []
    failures: list[int] = []
    threads = [
        threading.Thread(target=_client, args=(started, request, number, counts, failures))
        for number in range(CLIENTS)
    ]
    web, everything = [started.process("web")], started.left_behind()
    began = time.monotonic()
    used = _used_ms(web), _used_ms(everything)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, answers = time.monotonic() - began, sum(counts)
    web_ms, all_ms = _used_ms(web) - used[0], _used_ms(everything) - used[1]
    return Load(answers / seconds, web_ms / answers, all_ms / answers, len(failures))


def _used_ms(processes: Sequence[psutil.Process]) -> float:
    """Return the processors' time of those of these processes that still run."""
    used = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used += times.user + times.system
    return used * 1000


def _get(path: str, headers: Mapping[str, str]) -> _Request:
    def send(connection: http.client.HTTPConnection, _: int) -> int:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        response.read()
        return response.status

    return send


def _submit(headers: Mapping[str, str]) -> _Request:
    def send(connection: http.client.HTTPConnection, seed: int) -> int:
        body = json.dumps({"generation_params": params(seed)})
        connection.request("POST", "/api/v2/generate", body, dict(headers))
        response = connection.getresponse()
        response.read()
        return response.status

    return send


def _rounds(started: Installation, request: _Request) -> list[Round]:
    rounds = []
    for _ in range(ROUNDS):
        status = _load(started, _get("/status", {}))
        rounds.append(Round(_load(started, request), status))
    return rounds


def _show(name: str, rounds: Sequence[Round], wanted: float, hoped: int) -> None:
    best = max(rounds, key=lambda found: found.ratio)
    failed = best.this.failed
    print(
        f"{name:<44} {best.this.answers:4.0f}/s, /status {best.status.answers:4.0f}/s, ratio"
        f" {best.ratio:.2f} (wanted ≥ {wanted}; hoped for ≥ {hoped}/s); errors {failed}:"
        f" {verdict(best.ratio >= wanted and not failed)}",
    )
    web, web_status = _medians(rounds, lambda load: load.web_ms)
    everything, all_status = _medians(rounds, lambda load: load.all_ms)
    print(
        f"    processors: web {web:.2f} ms, /status {web_status:.2f}, ratio {web_status / web:.2f};"
        f" all processes {everything:.2f} ms, /status {all_status:.2f}",
        flush=True,
    )


def _medians(rounds: Sequence[Round], of: Callable[[Load], float]) -> tuple[float, float]:
    """Return the median of something of what was measured, and of /status."""
    this = statistics.median(of(found.this) for found in rounds)
    return this, statistics.median(of(found.status) for found in rounds)


def _job(started: Installation, headers: Mapping[str, str]) -> str:
    order = {"generation_params": params(1)}
    answer = Api(started.url).post("/api/v2/generate", json=order, headers=headers)
    return f"/api/v2/jobs/{answer.json()['mobilesd_job_id']}/status"


def _key(started: Installation) -> dict[str, str]:
    """Make the server known, but not running: what is measured is the request alone."""
    started.fake("gpu").stop()
    token = started.create_key("--rate", "unlimited")
    return {"Authorization": f"Api-Key {token}", "Content-Type": "application/json"}


def _end(started: Installation) -> None:
    print(f'"database is locked": {started.logs.count("database is locked")}')


def main() -> None:
    with installation() as started:
        headers = _key(started)
        path = _job(started, headers)
        _show("POST /api/v2/generate", _rounds(started, _submit(headers)), 0.25, 150)
        _show("GET …/status", _rounds(started, _get(path, headers)), 0.35, 200)
        etag = Api(started.url).get(path, headers=headers).headers["ETag"]
        same = {**headers, "If-None-Match": etag}
        _show("GET …/status, 304", _rounds(started, _get(path, same)), 0.4, 300)
        _end(started)
    with installation() as started:
        seed(started, MANY)
        name = f"POST /api/v2/generate, {MANY:,} jobs there"
        _show(name, _rounds(started, _submit(_key(started))), 0.23, 150)
        _end(started)


if __name__ == "__main__":
    main()
    tell_and_exit()
