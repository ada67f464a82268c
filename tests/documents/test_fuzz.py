"""No made-up request gets an answer that the document does not know (bench/fuzz.py runs longer)."""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.documents.fuzzing import ENV, Fuzz
from tests.processes.installation import Installation

pytestmark = [
    pytest.mark.processes,
    pytest.mark.xdist_group("processes"),
    pytest.mark.timeout(400),  # a run uses all of its seconds, beside a start and an end
]


@pytest.fixture
def inst(install: Callable[..., Installation]) -> Iterator[Installation]:
    with install(env=ENV) as installation:
        installation.fake("gpu", seconds=0.05)
        yield installation


def test_every_check_of_schemathesis_holds(inst):
    report = Fuzz(inst, seconds=50, examples=4).by_key()
    (generated,) = re.findall(r"(\d+) generated", report)
    assert int(generated) > 100
    # What it did went through the queue, and nothing of it broke a process.
    assert inst.answer("/readyz") == 200
    assert "Traceback" not in inst.logs


def test_managing_keys_holds_as_well(inst):
    inst.create_user("boss", "correct horse")
    Fuzz(inst, seconds=20, examples=4).keys("boss", "correct horse")
    assert "Traceback" not in inst.logs
