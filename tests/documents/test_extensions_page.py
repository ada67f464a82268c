"""docs/api/extensions.md works as it is printed, from the first line to the last."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes.installation import ROOT, Api, Installation, eventually

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

PAGE = (ROOT / "docs/api/extensions.md").read_text(encoding="utf-8")
PNG = b"\x89PNG\r\n"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def client() -> str:
    (found,) = [block for block in blocks("python") if block.startswith('"""client.py')]
    return found


@pytest.fixture
def inst(install: Callable[..., Installation]) -> Iterator[Installation]:
    with install() as installation:
        yield installation


@pytest.fixture
def env(inst: Installation) -> dict[str, str]:
    """What the page tells to export."""
    return {**os.environ, "MOBILESD_URL": inst.url, "MOBILESD_KEY": inst.create_key()}


def run(command: list[str], folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_all_of_its_lines_work_as_printed(inst, env, tmp_path):
    inst.fake("gpu")
    (tmp_path / "client.py").write_text(client())
    # python3 is the one of the virtual environment, where requests is installed
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    script = "set -euo pipefail\n" + "".join(
        f"{block}\necho; echo ---\n" for block in blocks("bash")
    )
    printed = run(["bash", "-c", script], tmp_path, env).split("---\n")
    assert (tmp_path / "picture.png").read_bytes().startswith(PNG)
    assert printed[0].startswith('{"success":true')
    refused = [text for text in printed if '"success":false' in text]
    assert len(refused) == 1, refused
    assert '"generation_params.width"' in refused[0]
    assert any("event: hello" in text for text in printed)
    assert "202\n200\n" in "".join(printed)
    assert "completed 100%" in printed[-2]
    assert len(list(tmp_path.glob("*.png"))) == 2

    for block in blocks("python"):
        if block != client():
            assert "saved" in run([sys.executable, "-c", block], tmp_path, env)
    assert len(list(tmp_path.glob("*.png"))) == 3


def test_the_client_goes_on_after_it_was_killed_and_makes_nothing_twice(inst, env, tmp_path):
    (tmp_path / "client.py").write_text(client())
    command = [sys.executable, "-u", "client.py"]
    first = subprocess.Popen(
        [*command, "a boat"], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True
    )
    # There is no server yet, so the client waits for its job.
    jobs = Api(inst.url, env["MOBILESD_KEY"])
    sent = eventually(lambda: jobs.get("/api/v2/jobs").json()["jobs"], 20, "the client's job")
    first.send_signal(signal.SIGKILL)
    first.wait()

    inst.fake("gpu")
    said = run(command, tmp_path, env)
    assert "saved" in said
    listed = jobs.get("/api/v2/jobs").json()["jobs"]
    assert [row["mobilesd_job_id"] for row in listed] == [sent[0]["mobilesd_job_id"]]
    assert run(command, tmp_path, env) == ""
    assert len(list(tmp_path.glob("*.png"))) == 1


def test_the_client_tells_why_it_was_refused(inst, env, tmp_path):
    (tmp_path / "client.py").write_text(client())
    env["MOBILESD_KEY"] = "wrong.key"
    done = subprocess.run(
        [sys.executable, "client.py", "x"], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "There is no such API key." in done.stderr


def test_the_client_is_short_and_needs_nothing():
    assert len(client().splitlines()) < 100
    assert "requests" not in client().replace("urllib.request", "")


def test_no_line_puts_a_key_into_a_url():
    assert "MOBILESD_KEY@" not in PAGE and "key=$" not in PAGE
