"""Whatever comes together (clicks, double clicks, lost answers, refusals, restarts, a wrong clock):
each click is one job, and none is lost."""

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from mobilesd_forge.faults import Fault
from mobilesd_forge.outbox import Outbox
from mobilesd_forge.sender import Sender

from tests.extension_forge.core.conftest import order

FATES = st.sampled_from(["taken", "answer lost", "not reached", "refused", "too old", "error"])


class Killed(BaseException):
    """The process ends here."""


class FakeMobileSD:
    """Keeps jobs by their idempotency key, as MobileSD does, and answers as it is told to."""

    def __init__(self) -> None:
        self.jobs: dict[str, Any] = {}
        self.made: list[str] = []
        self.fates: list[str] = []
        self.kill_after_answer = False

    def submit(self, body: bytes, *, bulk: bool) -> None:
        fate = self.fates.pop(0) if self.fates else "not reached"
        if fate == "not reached":
            raise Fault("timeout", "no answer")
        if fate == "refused":
            raise Fault("invalid_field_value", "no", refused=True)
        if fate == "too old":
            raise Fault("extension_too_old", "too old")
        if fate == "error":
            raise Fault("internal_error", "oh")
        said = json.loads(body)
        key = said["idempotency_key"]
        if key in self.jobs:
            assert self.jobs[key] == said, "a key came with another body"
        else:
            self.jobs[key] = said
            self.made.append(said["generation_params"]["positive_prompt"])
        if fate == "answer lost":
            raise Fault("broken", "lost")
        if self.kill_after_answer:
            self.kill_after_answer = False
            raise Killed


class Clicks(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.now = 1_000_000.0
        self.mobilesd = FakeMobileSD()
        self.clicked: list[str] = []
        self.dropped: set[str] = set()
        self.tried_again: set[str] = set()
        self.start()

    def start(self) -> None:
        self.outbox = Outbox(Path(self.folder.name), "0123456789ab", clock=lambda: self.now)
        self.sender = Sender(self.outbox, lambda: self.mobilesd, lambda: None)  # type: ignore[arg-type,return-value]

    @rule()
    def click(self) -> None:
        name = f"click {len(self.clicked)}"
        assert self.outbox.add(order(name), name)
        self.clicked.append(name)

    @rule(data=st.data())
    def click_again(self, data: st.DataObject) -> None:
        if kept := [name for name in self.clicked if name not in self.dropped]:
            name = data.draw(st.sampled_from(kept))
            assert not self.outbox.add(order(name), name)

    @rule(fates=st.lists(FATES, max_size=6))
    def send(self, fates: list[str]) -> None:
        self.mobilesd.fates = fates
        self.sender.send_all()

    @rule()
    def die_between_answer_and_note(self) -> None:
        self.mobilesd.fates = ["taken"] * 3
        self.mobilesd.kill_after_answer = True
        with contextlib.suppress(Killed):
            self.sender.send_all()
        self.mobilesd.kill_after_answer = False
        self.start()

    @rule()
    def restart(self) -> None:
        self.start()

    @rule(seconds=st.floats(-1000, 1000))
    def the_clock_jumps(self, seconds: float) -> None:
        self.now += seconds

    @rule(data=st.data())
    def try_again(self, data: st.DataObject) -> None:
        if refused := self.outbox.look().refused:
            entry = data.draw(st.sampled_from([entry for entry, _ in refused]))
            self.tried_again.add(entry.prompt)
            assert self.outbox.again(entry.name)

    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        held = self.outbox.look()
        if entries := [*held.waiting, *(entry for entry, _ in held.refused)]:
            entry = data.draw(st.sampled_from(entries))
            assert self.outbox.drop(entry.name)
            self.dropped.add(entry.prompt)

    @invariant()
    def each_click_is_somewhere(self) -> None:
        held = self.outbox.look()
        waiting = [entry.prompt for entry in held.waiting]
        refused = [entry.prompt for entry, _ in held.refused]
        assert not held.damaged
        assert len(set(waiting + refused)) == len(waiting + refused)
        assert set(self.clicked) <= {*waiting, *refused, *self.mobilesd.made, *self.dropped}

    def teardown(self) -> None:
        try:
            self.bring_home()
        finally:
            self.folder.cleanup()

    def bring_home(self) -> None:
        """MobileSD is well again: what was clicked and not dropped is one job each, in order."""
        self.start()
        for entry, _ in self.outbox.look().refused:
            self.tried_again.add(entry.prompt)
            self.outbox.again(entry.name)
        self.mobilesd.fates = ["taken"] * 1000
        self.sender.send_all()
        made = self.mobilesd.made
        assert self.outbox.count() == 0
        assert len(set(made)) == len(made)
        assert set(self.clicked) - self.dropped <= set(made)
        in_order = [name for name in made if name not in self.tried_again]
        assert in_order == [name for name in self.clicked if name in set(in_order)]


Clicks.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, database=None
)
TestClicks = Clicks.TestCase
