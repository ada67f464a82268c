"""No order of faults loses a job, makes it twice, or leaves anything lying about."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, Phase
from hypothesis import settings as profile
from hypothesis.errors import Flaky
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from dispatch import standing, sweep
from dispatch.models import Server
from tests.dispatch import lane_audit
from tests.dispatch.lane_harness import eventually
from tests.dispatch.lane_machine import JOBS, LaneProtocol
from tests.dispatch.lane_machine_companion import WithCompanion
from tests.dispatch.lane_processes import Cluster

pytestmark = pytest.mark.django_db(transaction=True)

# Set by bench/protocol_soak.py, which looks for examples that nobody has seen; without it the
# examples are the same each time.
SOAK_EXAMPLES = int(os.environ.get("PROTOCOL_SOAK_EXAMPLES", "0"))


class FrozenBeforeItClaims(LaneProtocol):
    """Nothing happens but this: a lane chose a job, and stands still while another takes over."""

    budget = {}

    def _submit(self, count: int, **fields: Any) -> None:
        # So that no other lane takes it first.
        super()._submit(count, target_server_alias="a", **fields)

    @precondition(lambda self: len(self.jobs) < JOBS and self.spent["expire"] < 4)
    @rule()
    def stand_still_before_a_claim(self) -> None:
        self.spent["expire"] += 1
        eventually(lambda: not self._tick() and not any(each.alive for each in self.cluster.lanes))
        place = "dispatch.lanes.claims.Claimer.start"
        self.halts.append({"halt_at": place, "how": signal.SIGSTOP, "skip": 0})
        self._submit(1)
        self.wait(4)

    def _take_over_from_frozen(self) -> None:
        """Wake it as soon as the other one has the lease, and has not chosen a job yet."""
        tokens = dict(Server.objects.values_list("pk", "lane_token"))
        known = list(self.frozen)
        super()._take_over_from_frozen()
        for lane in [lane for lane in self.frozen if lane not in known]:
            before = tokens[lane.server_id]
            taken = Server.objects.filter(pk=lane.server_id).exclude(lane_token=before)
            eventually(taken.exists)
            self.thaw()


@pytest.fixture(autouse=True)
def machinery(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(standing, "_ASIDE_FIRST_SECONDS", 0.3)
    monkeypatch.setattr(standing, "_OFFLINE_FIRST_SECONDS", 0.3)
    monkeypatch.setattr(sweep, "WAKING_SECONDS", 0.5)
    monkeypatch.setattr(cluster, "impatient", True)
    # What `up` and the API read as well; not time.time, which the fakes on their own machines use.
    monkeypatch.setattr(timezone, "now", cluster.clock.now)
    LaneProtocol.cluster, LaneProtocol.log = cluster, cluster.log
    LaneProtocol.offences.clear()
    with lane_audit.recording():
        yield
    cluster.clock.set(0.0)


def explore(machine: type[LaneProtocol], examples: int, *, steps: int = 20) -> None:
    run_state_machine_as_test(
        machine,
        settings=profile(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=not SOAK_EXAMPLES,
            database=None,
            deadline=None,
            # Nothing is made smaller: what took real time to happen rarely happens twice.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_lanes_keep_the_protocol_through_any_faults() -> None:
    explore(LaneProtocol, SOAK_EXAMPLES or 5)


def test_with_a_companion_they_keep_it_and_waste_almost_nothing() -> None:
    explore(WithCompanion, SOAK_EXAMPLES or 5)


def test_a_lane_that_was_taken_over_before_it_claims_leaves_the_job_alone() -> None:
    explore(FrozenBeforeItClaims, 3, steps=4)
    assert not LaneProtocol.offences


def test_control_without_the_fence_the_same_machine_finds_the_fault(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "unfenced", True)
    with pytest.raises((AssertionError, Flaky)):  # the second try of what took real time may pass
        explore(FrozenBeforeItClaims, 3, steps=4)
    assert any("claim" in offence for offence in LaneProtocol.offences)
