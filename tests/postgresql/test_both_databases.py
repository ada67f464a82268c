"""What locks, races and searches is the same on PostgreSQL with Redis: the same tests, run there.

To run any other test there: set MOBILESD_DATABASE_URL and MOBILESD_REDIS_URL, then pytest.
"""

import pytest

from tests.postgres import RUN_SECONDS, postgres_server, run_with
from tests.redis_server import redis_server

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("postgresql")]

ALSO_ON_POSTGRESQL = [
    # Locks of rows and their order
    "tests/postgresql/test_order_of_locks.py",
    "tests/postgresql/test_everything_at_once.py",
    # Submissions: one idempotency key at once, quotas at their limit, bulk all or none
    "tests/api/test_idempotency.py",
    "tests/keys/test_quotas.py",
    "tests/keys/test_rotation.py",
    "tests/jobs/test_inputs_attached.py",
    "tests/operations/test_bulk_all_or_none.py",
    # Chains: parents that end while children come, cascades, early stop
    "tests/chains",
    "tests/operations/test_early_stop.py",
    # The queue: pause against claim, moves, clear, history, cancel, retry, delete
    "tests/operations/test_pausing.py",
    "tests/operations/test_move_races.py",
    "tests/operations/test_interleavings.py",
    "tests/operations/test_ranks.py",
    "tests/operations/test_undo.py",
    "tests/operations/test_undo_of_rows.py",
    "tests/operations/test_retry.py",
    "tests/operations/test_retry_batch.py",
    "tests/keys/test_retry_quotas.py",
    "tests/operations/test_contract_queue.py",
    "tests/operations/test_contract_history.py",
    "tests/api/test_job_changes.py",
    "tests/jobs/test_purge.py",
    # Lanes: leases, two lanes, claim and cancel and store at once, the sweep
    "tests/dispatch/test_lease.py",
    "tests/dispatch/test_claim_race.py",
    "tests/dispatch/test_two_lanes_one_server.py",
    "tests/dispatch/test_lane_releases.py",
    "tests/dispatch/test_sweep.py",
    # What is written and read beside the requests
    "tests/access/test_access_log.py",
    "tests/access/test_access_log_writer.py",
    "tests/live/test_relay.py",
    "tests/webhooks/test_webhook_crashes.py",
    # Statements of our own, lists and searches
    "tests/test_rows.py",
    "tests/planning/test_bounded_looks.py",
    "tests/planning/test_heads.py",
    "tests/planning/test_loras.py",
    "tests/planning/test_readiness.py",
    "tests/lists",
    "tests/api/test_job_lists.py",
]


@pytest.mark.timeout(RUN_SECONDS)
def test_they_hold_on_postgresql_with_redis():
    with postgres_server() as database, redis_server() as redis:
        run_with(database.url, redis.url, *ALSO_ON_POSTGRESQL)
