"""`up --demo`: a picture without a GPU, until a real server comes."""

from collections.abc import Callable

import pytest

from tests.processes.installation import Installation, eventually

pytestmark = pytest.mark.processes

Install = Callable[..., Installation]


def test_the_demo_makes_a_picture_and_goes_when_a_real_server_comes(install: Install) -> None:
    with install(arguments=["--demo"], env={"MOBILESD_SWEEP_SECONDS": "1"}) as inst:
        demo = inst.process("demo")
        made = inst.submit("demo")
        eventually(lambda: inst.job(made)["status"] == "completed", 40, "the picture")

        inst.fake("real")

        demo.wait(timeout=20)
        servers = {row["alias"]: row["enabled"] for row in inst.api.get("/api/v1/servers").json()}
        assert servers == {"demo": False, "real": True}
        assert "process has ended" not in inst.logs


def test_a_plain_start_runs_no_demo_and_disables_its_server(install: Install) -> None:
    with install(arguments=["--demo"]) as inst:
        inst.process("demo")
        inst.stop()
        inst.arguments = []

        inst.start()

        assert [child["name"] for child in inst.state()["children"]] == [
            "web",
            "dispatch",
            "background",
        ]
        assert not inst.api.get("/api/v1/servers").json()[0]["enabled"]
