"""No process outlives its parent, however deep, and however early the parent dies."""

import os
import subprocess
import sys

import psutil
import pytest

from mobilesd import lifeline

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread watches")

# A parent that starts a child which ties itself and forks a grandchild, as a cluster does.
PARENT = """
import os, subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-c", sys.argv[1]],
    env={**os.environ, "MOBILESD_CHILD": str(os.getpid())},
    start_new_session=True,
)
child.wait()
"""
CHILD = """
import os, time
from mobilesd import lifeline
lifeline.tie()
if os.fork():
    print("up", flush=True)
time.sleep(60)
"""


@pytest.fixture
def family():
    with subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE) as parent:
        assert parent.stdout.readline() == b"up\n"
        below = psutil.Process(parent.pid).children(recursive=True)
        assert len(below) == 2
        yield parent, below
        for process in [parent, *below]:
            if psutil.pid_exists(process.pid):
                process.kill()


def test_children_and_grandchildren_end_with_a_killed_parent(family):
    parent, below = family
    parent.kill()
    _, alive = psutil.wait_procs(below, timeout=5)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def test_a_forked_child_ends_with_the_process_that_forked_it(family):
    _, (child, grandchild) = family
    child.kill()
    _, alive = psutil.wait_procs([grandchild], timeout=5)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def test_a_parent_that_was_dead_before_the_request_is_noticed():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    orphan = subprocess.run(
        [sys.executable, "-c", "from mobilesd import lifeline; lifeline.tie(); print('alive')"],
        env={**os.environ, lifeline.ENVIRONMENT: str(gone.pid)},
        capture_output=True,
        timeout=20,
    )
    assert orphan.returncode == -9
    assert b"alive" not in orphan.stdout


@pytest.mark.parametrize("value", [None, "", "yes"])
def test_a_process_that_nobody_started_as_a_child_is_left_alone(monkeypatch, value):
    monkeypatch.delenv(lifeline.ENVIRONMENT, raising=False)
    if value is not None:
        monkeypatch.setenv(lifeline.ENVIRONMENT, value)
    monkeypatch.setattr(lifeline, "_binder", lambda: pytest.fail("tied"))
    lifeline.tie()
