"""How the fake comes up and goes down, in this process and as a command."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

from dispatch.fakes.forge import FakeForge
from tests.dispatch.fakes.helpers import Background, Client, wait_for

ROOT = Path(__file__).parents[3]


def look(client, path):
    """Return the status of a GET, or "refused"."""
    try:
        return client.get(path).status_code
    except requests.ConnectionError:
        return "refused"


def phases(client, paths, seconds):
    seen = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        now = tuple(look(client, path) for path in paths)
        if not seen or seen[-1] != now:
            seen.append(now)
    return seen


def test_start_up_goes_through_the_recorded_phases():
    paths = ("/", "/internal/ping", "/sdapi/v1/progress", "/sdapi/v1/loras")
    with FakeForge(startup_seconds=0.8) as forge:
        seen = phases(Client(forge), paths, 1.1)
    steady = [
        ("refused",) * 4,
        (200, 404, 404, 404),
        (200, 200, 200, 404),
        (200, 200, 200, 200),
    ]
    assert [state for state in seen if state in steady] == steady


def test_nowebui_is_there_all_at_once():
    paths = ("/", "/internal/ping", "/sdapi/v1/progress", "/sdapi/v1/loras")
    with FakeForge(startup_seconds=0.4, nowebui=True) as forge:
        seen = phases(Client(forge), paths, 0.6)
    assert seen[0] == ("refused",) * 4
    assert seen[-1] == (404, 404, 200, 200)


def test_stop_during_the_start_up_ends_it():
    forge = FakeForge(startup_seconds=60).start()
    start = time.monotonic()
    forge.stop()
    assert time.monotonic() - start < 1


def test_stop_leaves_no_thread_behind(client):
    session = requests.Session()  # a connection kept open
    session.get(f"{client.forge.url}/sdapi/v1/progress")
    before = {t for t in threading.enumerate() if t.name == "fake-forge"}
    client.forge.stop()
    wait_for(lambda: not any(thread.is_alive() for thread in before))


def test_connection_is_kept_open_between_requests(client):
    with requests.Session() as session:
        for _ in range(3):
            session.get(f"{client.forge.url}/sdapi/v1/samplers")
        assert len(client.forge._connections) == 1


def test_request_without_a_length_is_refused(client):
    answer = client.call("POST", "/sdapi/v1/txt2img", data=iter([b"{}"]))
    assert answer.status_code == 411


def test_taken_port_is_an_error(client):
    with pytest.raises(OSError, match="in use"):
        FakeForge(client.forge.port).start()


@pytest.fixture
def command(tmp_path):
    """Start `manage.py fake_forge`; returns (process, url)."""
    processes = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "manage.py", "fake_forge", "--port", "0", *arguments],
            cwd=ROOT,
            env={**os.environ, "MOBILESD_DATA_DIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        line = process.stdout.readline()
        found = re.fullmatch(r"fake_forge listening on (http://127\.0\.0\.1:\d+)\n", line)
        assert found, line + process.stderr.read()
        return process, found[1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_command_serves_with_its_options_and_ends_at_sigterm(command, tmp_path):
    process, url = command("--seconds", "30", "--checkpoints", "a.safetensors, x/b.safetensors")
    titles = [item["title"] for item in requests.get(f"{url}/sdapi/v1/sd-models", timeout=5).json()]
    assert titles == ["a.safetensors", "x/b.safetensors"]
    job = Background(requests.post, f"{url}/sdapi/v1/txt2img", json={}, timeout=9)
    wait_for(lambda: requests.get(f"{url}/_fake/log", timeout=5).json())
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0
    assert time.monotonic() - start < 2
    with pytest.raises(requests.ConnectionError):
        job.result()
    assert not list(tmp_path.glob("*.sqlite3"))


def test_command_guards_its_api(command):
    process, url = command("--api-auth", "user:pass", "--nowebui", "--preview-steps", "2")
    assert requests.get(f"{url}/sdapi/v1/progress", timeout=5).status_code == 401
    right = requests.get(f"{url}/sdapi/v1/progress", auth=("user", "pass"), timeout=5)
    assert right.status_code == 200
    options = requests.get(f"{url}/sdapi/v1/options", auth=("user", "pass"), timeout=5).json()
    assert options["show_progress_every_n_steps"] == 2
    assert requests.get(f"{url}/internal/ping", timeout=5).status_code == 404
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--port", "70000"], "not a port"),
        (["--seconds", "nan"], "number of seconds"),
        (["--api-auth", "user"], "user:password"),
    ],
)
def test_command_refuses_bad_arguments(arguments, word):
    from django.core.management import CommandError, call_command

    with pytest.raises(CommandError, match=word):
        call_command("fake_forge", *arguments)


def test_command_names_the_taken_port():
    from django.core.management import CommandError, call_command

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"Port {port} .* --port"):
            call_command("fake_forge", "--port", str(port))
