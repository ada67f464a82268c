"""The access log of a real web process: written while it runs, whole after an orderly stop."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.hostile.conftest import accesses
from tests.processes.conftest import install, prepared_folder  # noqa: F401
from tests.processes.installation import Installation, eventually

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

JOBS = "/api/v2/jobs"


def test_an_orderly_stop_loses_no_line_and_takes_no_longer(
    install: Callable[..., Installation],  # noqa: F811
) -> None:
    with install(arguments=["--only", "web"]) as inst:
        api = inst.api
        assert api.get(JOBS).status_code == 200
        eventually(lambda: accesses(inst) == 1, 15, "the first line, while it runs")
        with ThreadPoolExecutor(4) as pool:
            answers = pool.map(lambda _: inst.api.get(JOBS).status_code, range(100))
            assert set(answers) == {200}
        assert inst.stop() < 5
        assert accesses(inst) == 101
