"""No made-up request gets an answer that the document does not know (bench/fuzz.py runs longer)."""

from collections.abc import Callable, Collection, Iterator

import pytest

from mobilesd.schema.generator import document
from tests.documents.fuzzing import ENV, NOT_BY_KEY, STREAMS, Fuzz
from tests.processes.installation import Installation

pytestmark = [
    pytest.mark.processes,
    pytest.mark.xdist_group("processes"),
    pytest.mark.timeout(400),  # a run uses all of its seconds, beside a start and an end
]

# The same requests each time, as in the protocol's test: bench/fuzz.py looks for others.
SEED = 7
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
def inst(install: Callable[..., Installation]) -> Iterator[Installation]:
    with install(env=ENV) as installation:
        installation.fake("gpu", seconds=0.05)
        yield installation


def operations(only: Collection[str] = (), without: Collection[str] = ()) -> set[str]:
    """Return the operations of the document as the report names them, by their names."""
    return {
        f"{method.upper()} {path}"
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if method in METHODS
        and operation["operationId"] not in without
        and (not only or operation["operationId"] in only)
    }


def test_every_check_of_schemathesis_holds(inst):
    report = Fuzz(inst, seconds=50, examples=4, seed=SEED).by_key()
    assert report.requests > 200
    assert not operations(without=(*STREAMS, *NOT_BY_KEY)) - report.called
    # What it did went through the queue, and nothing of it broke a process.
    assert inst.answer("/readyz") == 200
    assert "Traceback" not in inst.logs


def test_managing_keys_holds_as_well(inst):
    inst.create_user("boss", "correct horse")
    report = Fuzz(inst, seconds=20, examples=4, seed=SEED).keys("boss", "correct horse")
    assert not operations(only=NOT_BY_KEY) - report.called
    assert "Traceback" not in inst.logs
