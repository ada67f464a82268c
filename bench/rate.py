"""POST /api/v2/generate by 8 keep-alive clients, beside GET /status of the same process."""

import http.client
import json
import threading
import time
from collections.abc import Callable

from bench.common import installation, params
from tests.processes.installation import Installation

CLIENTS = 8
SECONDS = 5.0
ROUNDS = 3


def _client(
    started: Installation,
    request: Callable[[http.client.HTTPConnection, int], int],
    number: int,
    counts: list[int],
    failures: list[int],
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


def _rate(
    started: Installation, request: Callable[[http.client.HTTPConnection, int], int]
) -> tuple[float, int]:
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


def main() -> None:
    with installation() as started:
        # Known, but not running: what is measured is the submission, not the work after it.
        started.fake("gpu").stop()
        headers = {
            "Authorization": f"Api-Key {started.create_key()}",
            "Content-Type": "application/json",
        }

        def status(connection: http.client.HTTPConnection, _: int) -> int:
            connection.request("GET", "/status")
            response = connection.getresponse()
            response.read()
            return response.status

        def submit(connection: http.client.HTTPConnection, seed: int) -> int:
            body = json.dumps({"generation_params": params(seed)})
            connection.request("POST", "/api/v2/generate", body, headers)
            response = connection.getresponse()
            response.read()
            return response.status

        best = (0.0, 0.0, 0.0)
        failed = 0
        for _ in range(ROUNDS):
            reference, _ = _rate(started, status)
            submissions, failures = _rate(started, submit)
            failed += failures
            best = max(best, (submissions / reference, submissions, reference))
        locked = started.logs.count("database is locked")
        print(
            f"POST /api/v2/generate, {CLIENTS} clients: {best[1]:.0f}/s,"
            f" GET /status {best[2]:.0f}/s, ratio {best[0]:.2f}"
            f" (wanted ≥ 0.25; hoped for ≥ 100/s); refused {failed},"
            f' "database is locked" {locked}'
        )


if __name__ == "__main__":
    main()
