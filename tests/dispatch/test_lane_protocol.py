"""No order of faults loses a job, makes it twice, or leaves anything lying about."""

import os

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as profile
from hypothesis.stateful import run_state_machine_as_test

from dispatch import standing
from tests.dispatch.lane_machine import LaneProtocol
from tests.dispatch.lane_processes import Cluster

pytestmark = pytest.mark.django_db(transaction=True)

# Set by bench/protocol_soak.py, which looks for examples that nobody has seen; without it the
# examples are the same each time.
SOAK_EXAMPLES = int(os.environ.get("PROTOCOL_SOAK_EXAMPLES", "0"))


def test_lanes_keep_the_protocol_through_any_faults(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "_ASIDE_FIRST_SECONDS", 0.3)
    monkeypatch.setattr(standing, "_OFFLINE_FIRST_SECONDS", 0.3)
    monkeypatch.setattr(cluster, "impatient", True)
    LaneProtocol.cluster, LaneProtocol.log = cluster, cluster.log
    run_state_machine_as_test(
        LaneProtocol,
        settings=profile(
            max_examples=SOAK_EXAMPLES or 4,
            stateful_step_count=20,
            derandomize=not SOAK_EXAMPLES,
            database=None,
            deadline=None,
            # Nothing is made smaller: what took real time to happen rarely happens twice.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
