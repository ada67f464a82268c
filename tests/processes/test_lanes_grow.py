"""More servers than lanes: a larger cluster takes over, and the old one ends what it has begun."""

from collections.abc import Callable

import psutil
import pytest

from tests.processes.installation import Installation, eventually

pytestmark = pytest.mark.processes

Install = Callable[..., Installation]


def test_a_further_server_gets_a_lane_and_the_running_picture_is_not_disturbed(
    install: Install,
) -> None:
    with install(env={"MOBILESD_LANES": "1", "MOBILESD_SWEEP_SECONDS": "1"}) as inst:
        slow = inst.fake("slow", seconds=12.0)
        first = inst.submit("slow")
        eventually(lambda: inst.job(first)["status"] == "processing", 20, "the first job runs")
        old = inst.process("dispatch")
        below = old.children(recursive=True)

        inst.fake("quick", seconds=0.1)
        second = inst.submit("quick")

        eventually(lambda: inst.job(second)["status"] == "completed", 30, "the second is done")
        assert inst.job(first)["status"] == "processing"
        assert inst.process("dispatch").pid != old.pid
        assert "running 2 lanes" in inst.logs
        eventually(lambda: inst.job(first)["status"] == "completed", 30, "the first is done")
        assert inst.job(first)["retry_count"] == 0
        assert len(slow.log.runs()) == 1
        _, alive = psutil.wait_procs([old, *below], timeout=20)
        assert alive == []
        eventually(lambda: not list(inst.run_dir.glob("drain-*")), 5, "the flag is removed")
