"""`manage.py up` as people meet it: it starts, stops, restarts, refuses, and leaves nothing."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import psutil
import pytest
import requests

from tests.processes.installation import ROOT, Installation, eventually

pytestmark = pytest.mark.processes

Install = Callable[..., Installation]


def test_starts_all_parts_and_leaves_none_after_ctrl_c(install: Install) -> None:
    with install() as inst:
        assert inst.answer("/readyz") == 200
        assert [child["name"] for child in inst.state()["children"]] == [
            "web",
            "dispatch",
            "background",
        ]
        titles = [" ".join(process.cmdline()) for process in inst.children()]
        assert any("qcluster --name dispatch" in title for title in titles)
        assert any("qcluster --name background" in title for title in titles)
        inst.workers("dispatch")

        took = inst.stop(signal.SIGINT)

        assert inst.up is not None
        assert inst.up.returncode == 0
        assert took <= 5
        assert inst.left_behind() == []
        assert sorted(path.name for path in inst.run_dir.iterdir() if "lock" not in path.name) == []
        assert "Stopped." in inst.logs


def test_a_cluster_that_ignores_the_signal_is_killed_within_five_seconds(install: Install) -> None:
    with install() as inst:
        for name in ("dispatch", "background"):
            for process in [*inst.process(name).children(recursive=True), inst.process(name)]:
                process.suspend()  # as a deadlock in a signal handler: nothing answers
        assert inst.stop(signal.SIGTERM) <= 6  # 5 on a machine with nothing else to do
        assert inst.left_behind() == []


def test_a_second_ctrl_c_does_not_wait(install: Install) -> None:
    with install() as inst:
        inst.process("dispatch").suspend()
        assert inst.up is not None
        inst.up.send_signal(signal.SIGINT)
        eventually(lambda: "fetched at the next start" in inst.logs, 5)
        assert inst.stop(signal.SIGINT) <= 2


def test_nothing_outlives_a_killed_supervisor(install: Install) -> None:
    with install() as inst:
        inst.workers("dispatch")
        assert len(inst.children()) >= 8
        inst.kill()
        eventually(lambda: not inst.left_behind(), 5, "everything ends")

        inst.start()  # and the lock went with it

        assert inst.answer("/readyz") == 200


@pytest.mark.parametrize("name", ["web", "background"])
def test_a_killed_part_is_started_again(install: Install, name: str) -> None:
    with install() as inst:
        first = inst.process(name)
        below = first.children(recursive=True)
        first.kill()
        eventually(lambda: inst.process(name).pid != first.pid, 20, "another process")
        inst.wait_ready()
        _, alive = psutil.wait_procs(below, timeout=5)
        assert alive == []
        assert f"The {name} process has ended (signal 9" in inst.logs


def test_a_killed_sentinel_takes_its_cluster_along(install: Install) -> None:
    with install() as inst:
        workers = inst.workers("background")
        first = inst.process("background")
        first.children()[0].kill()
        _, alive = psutil.wait_procs([first, *workers], timeout=10)
        assert alive == []
        assert inst.process("background").pid != first.pid


def test_a_second_up_is_refused_and_changes_nothing(install: Install) -> None:
    with install() as inst:
        assert inst.up is not None
        before = inst.state()
        second = subprocess.run(
            [sys.executable, "manage.py", "up", "--port", "1"],
            cwd=ROOT,
            env=inst.env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert second.returncode == 1
        assert f"(process {inst.up.pid})" in second.stderr
        assert "MOBILESD_DATA_DIR" in second.stderr
        assert inst.state() == before


def test_a_port_in_use_is_said_and_nothing_stays(install: Install) -> None:
    inst = install(wait=False)
    with socket.socket() as other:
        other.bind(("127.0.0.1", inst.port))
        other.listen()
        with inst:
            assert inst.up is not None
            assert inst.up.wait(timeout=30) == 1
            assert "Address already in use" in inst.logs
            assert "--port" in inst.logs
            assert "Traceback" not in inst.logs
            assert inst.left_behind() == []


def test_a_part_that_keeps_ending_is_named_with_its_reason(install: Install) -> None:
    with install() as inst:

        def gone_again() -> bool:
            inst.process("background").kill()
            return bool(inst.state()["trouble"])

        eventually(gone_again, 60, "five deaths")

        said = "The background process has ended five times within a minute (signal 9)."
        assert said in inst.logs
        answer = requests.get(f"{inst.url}/readyz", timeout=5)
        assert answer.status_code == 503
        assert said in answer.text


def test_an_idle_worker_that_is_killed_does_not_stop_the_work(install: Install) -> None:
    quick = {"MOBILESD_PROBE_SECONDS": "0.5", "MOBILESD_PROBE_WAIT_SECONDS": "3"}
    with install(env=quick) as inst:
        first = inst.process("dispatch")
        for worker in inst.workers("dispatch"):
            worker.kill()  # one of them waits with the queue's lock in its hands
        eventually(lambda: inst.process("dispatch").pid != first.pid, 40, "a new cluster")
        assert "take no tasks any more" in inst.logs
        first.wait(timeout=5)
