import time
from dataclasses import dataclass

import pytest
from mobilesd_forge.companion.jobs import Jobs, Limits
from mobilesd_forge.companion.records import FINAL, Records

from tests.extension_forge.companion.engines import HandEngine


def eventually(true, seconds=10):
    """Wait until something holds, and return it."""
    end = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.005)
    return value


@dataclass
class Bench:
    """Jobs on a folder with an engine by hand; `restart` is the death of the program."""

    folder: object
    limits: Limits
    now: float = 1_000_000.0

    def __post_init__(self):
        self.start()

    def start(self):
        self.engine = HandEngine()
        self.jobs = Jobs(self.engine, Records(self.folder), self.limits, lambda: self.now)
        self.jobs.start()

    def restart(self):
        self.jobs.stop()
        self.start()

    def submit(self, token, kind="txt2img", **payload):
        return self.jobs.submit(token, kind, payload)

    def state(self, token):
        record = self.jobs.get(token)
        return record.state if record else "unknown"

    def until(self, token, *states):
        eventually(lambda: self.state(token) in states)

    def make(self, token, outcome=None):
        """Let a job come to its end."""
        self.submit(token)
        self.engine.finish(outcome)
        self.until(token, *FINAL)

    def answer(self, token):
        found = self.jobs.answer(token)
        if found is None or isinstance(found, bytes):
            return found
        return found.file.read_bytes()[found.offset :]


@pytest.fixture
def bench(tmp_path):
    """Start benches on one folder; their limits by keyword."""
    started = []

    def start(**limits):
        started.append(Bench(tmp_path / "companion", Limits(**limits)))
        return started[-1]

    yield start
    for each in started:
        each.jobs.stop()
