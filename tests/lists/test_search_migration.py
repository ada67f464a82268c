"""The migration makes jobs findable that were there before it."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from jobs.models import JobText
from tests import factories

BEFORE = [("jobs", "0002_batches_queue_webhooks")]
AFTER = [("jobs", "0003_search_and_indexes")]


def _migrate(targets) -> None:
    MigrationExecutor(connection).migrate(targets)


@pytest.mark.django_db(transaction=True)
def test_jobs_of_before_are_found(api, member):
    leaves = MigrationExecutor(connection).loader.graph.leaf_nodes()
    now = timezone.now()
    old = [factories.job(owner=member, created_at=now - timedelta(days=2)) for _ in range(3)]
    old.append(factories.job(owner=member, created_at=now))
    factories.job(owner=member, deleted_at=now)
    try:
        _migrate(BEFORE)
        _migrate(AFTER)
    finally:
        _migrate(leaves)
    assert JobText.objects.count() == 4
    searched = api.get("/api/v2/jobs", {"q": "lighthouse"}).json()
    assert searched["total"] == 4
    assert searched["jobs"] == api.get("/api/v2/jobs").json()["jobs"]
