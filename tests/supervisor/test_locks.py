"""The lock of a data folder: one holder, named, and gone with its process."""

import subprocess
import sys

import pytest

from mobilesd.supervisor.locks import AlreadyRunning, FileLock, owner_of

HOLD = """
import sys
from pathlib import Path
from mobilesd.supervisor.locks import FileLock
lock = FileLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "a.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_a_second_holder_is_refused_with_the_pid_of_the_first(holder, tmp_path):
    with pytest.raises(AlreadyRunning) as refused:
        FileLock(tmp_path / "a.lock").acquire()
    assert refused.value.pid == holder.pid
    assert owner_of(tmp_path / "a.lock") == holder.pid


def test_a_killed_holder_leaves_no_lock(holder, tmp_path):
    holder.kill()
    holder.wait()
    FileLock(tmp_path / "a.lock").acquire()


def test_released_is_free_again(tmp_path):
    first, second = FileLock(tmp_path / "a.lock"), FileLock(tmp_path / "a.lock")
    first.acquire()
    first.release()
    second.acquire()
    second.release()
    assert owner_of(tmp_path / "a.lock") is None


def test_nobody_owns_a_lock_that_was_never_made(tmp_path):
    assert owner_of(tmp_path / "a.lock") is None
    assert not (tmp_path / "a.lock").exists()
