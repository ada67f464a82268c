"""From the worker's progress row to the browser's socket."""

import json
import re
import time
from collections.abc import Callable

import requests
from websockets.sync.client import connect

from bench.common import Bounds, Figures, measure_at_one_server, params, round_trip
from dispatch.fakes.forge import FakeForge
from mobilesd import sqlite
from tests.processes.installation import Installation

SECONDS = 12


def session_cookie(started: Installation) -> str:
    """Sign in as the page does and return the Cookie header."""
    started.create_user("bench", "correct horse")
    session = requests.Session()
    page = session.get(f"{started.url}/sign-in")
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert found, "the sign-in page has no token"
    answer = session.post(
        f"{started.url}/sign-in",
        data={
            "username": "bench",
            "password": "correct horse",
            "csrfmiddlewaretoken": found.group(1),
        },
        headers={"Referer": f"{started.url}/sign-in"},
    )
    answer.raise_for_status()
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in session.cookies)


def _written(started: Installation, since: float) -> dict[tuple[str, int], float]:
    """Return when each progress row was written, by attempt and number, in epoch seconds."""
    connection = sqlite.library().connect(
        f"file:{started.data_dir / 'mobilesd.sqlite3'}?mode=ro", uri=True
    )
    try:
        rows = connection.execute(
            "SELECT payload, (julianday(at) - 2440587.5) * 86400.0 FROM jobs_liveevent"
            " WHERE kind = 'job.progress'"
        ).fetchall()
    finally:
        connection.close()
    found = {}
    for payload, at in rows:
        data = json.loads(payload)
        if at >= since - 1:
            found[data["attempt"], data["seq"]] = at
    return found


def begin(started: Installation, fake: FakeForge) -> Callable[[], Figures]:
    cookie = session_cookie(started)

    def measure() -> Figures:
        status_ms = round_trip(started)
        began = time.time()
        body = {"generation_params": params(int(began), steps=100)}
        job = started.api.post("/api/v2/generate", json=body).json()["mobilesd_job_id"]
        arrived: dict[tuple[str, int], float] = {}
        address = started.url.replace("http", "ws") + "/ws/events/"
        with connect(
            address, additional_headers={"Cookie": cookie, "Origin": started.url}
        ) as socket:
            socket.send(json.dumps({"type": "watch", "job": job}))
            next_watch = time.time() + 5
            while time.time() < began + SECONDS:
                if time.time() >= next_watch:
                    socket.send(json.dumps({"type": "watch", "job": job}))
                    next_watch += 5
                try:
                    message = json.loads(socket.recv(timeout=1))
                except TimeoutError:
                    continue
                if message["type"] == "job.progress":
                    arrived[message["attempt"], message["seq"]] = time.time()
        written = _written(started, began)
        samples = [(at - written[key]) * 1000 for key, at in arrived.items() if key in written]
        assert samples, "no progress arrived"
        return Figures(samples, status_ms)

    return measure


if __name__ == "__main__":
    name = "Worker's progress → browser's socket"
    measure_at_one_server(name, Bounds(p95=250), SECONDS, begin)
