"""`up --only`: each part under a supervisor of its own, as in containers that share a folder."""

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.processes.installation import ROOT, Installation, eventually

pytestmark = pytest.mark.processes

Install = Callable[..., Installation]


def up(inst: Installation, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "manage.py", "up", *arguments],
        cwd=ROOT,
        env=inst.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_parts_run_side_by_side_and_a_whole_one_is_refused_beside_them(install: Install) -> None:
    with install(arguments=["--only", "web"]) as inst:
        assert [child["name"] for child in inst.state()["children"]] == ["web"]
        inst.fake("gpu", seconds=0.1)
        job = inst.submit("gpu")

        dispatch = up(inst, "--only", "dispatch")
        background = up(inst, "--only", "background")

        eventually(lambda: inst.job(job)["status"] == "completed", 60, "the picture")
        whole = up(inst, "--port", "1")
        assert "already runs" in whole.communicate(timeout=60)[0]
        for part in (dispatch, background):
            part.send_signal(signal.SIGTERM)
        for part in (dispatch, background):
            part.communicate(timeout=20)
            assert part.returncode == 0
        assert inst.answer("/readyz") == 200


def test_the_demo_needs_all_parts(install: Install) -> None:
    refused = up(install(wait=False), "--only", "web", "--demo")
    assert "--demo needs all parts" in refused.communicate(timeout=60)[0]
    assert refused.returncode == 1
