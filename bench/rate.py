"""What the API answers a second to 8 keep-alive clients, beside GET /status of the same process.

Each figure is the best of ROUNDS rounds of its ratio; in a round it is measured right after
/status, so that both see the same machine.
"""

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.common import installation, params, seed, tell_and_exit, verdict
from tests.processes.installation import Api, Installation

CLIENTS = 8
SECONDS = 4.0
ROUNDS = 3
MANY = 100_000

_Request = Callable[[http.client.HTTPConnection, int], int]


@dataclass(frozen=True)
class Rate:
    """Answers a second, of this and of /status; how many were errors."""

    answers: float
    reference: float
    failed: int

    @property
    def ratio(self) -> float:
        return self.answers / self.reference


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


def _rate(started: Installation, request: _Request) -> tuple[float, int]:
    counts: list[int] = []
    failures: list[int] = []
    threads = [
        threading.Thread(target=_client, args=(started, request, number, counts, failures))
        for number in range(CLIENTS)
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - began), len(failures)


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


def _best(started: Installation, request: _Request) -> Rate:
    rounds = []
    for _ in range(ROUNDS):
        reference, _ = _rate(started, _get("/status", {}))
        answers, failed = _rate(started, request)
        rounds.append(Rate(answers, reference, failed))
    return max(rounds, key=lambda rate: rate.ratio)


def _show(name: str, rate: Rate, wanted: float, hoped: int) -> None:
    print(
        f"{name:<44} {rate.answers:4.0f}/s, /status {rate.reference:4.0f}/s, ratio"
        f" {rate.ratio:.2f} (wanted ≥ {wanted}; hoped for ≥ {hoped}/s); errors {rate.failed}:"
        f" {verdict(rate.ratio >= wanted and not rate.failed)}",
        flush=True,
    )


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
        _show("POST /api/v2/generate", _best(started, _submit(headers)), 0.25, 150)
        _show("GET …/status", _best(started, _get(path, headers)), 0.35, 200)
        etag = Api(started.url).get(path, headers=headers).headers["ETag"]
        same = {**headers, "If-None-Match": etag}
        _show("GET …/status, 304", _best(started, _get(path, same)), 0.4, 300)
        _end(started)
    with installation() as started:
        seed(started, MANY)
        name = f"POST /api/v2/generate, {MANY:,} jobs there"
        _show(name, _best(started, _submit(_key(started))), 0.23, 150)
        _end(started)


if __name__ == "__main__":
    main()
    tell_and_exit()
