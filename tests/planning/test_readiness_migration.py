"""Jobs that waited before a lane stepped over them by index are found by it as before."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from dispatch.candidates import candidates_for
from jobs.models import Job, JobDependency
from tests import factories

BEFORE = [("jobs", "0010_notifier_cursor")]
AFTER = [("jobs", "0011_what_a_lane_steps_over")]


@pytest.mark.django_db(transaction=True)
def test_times_parents_and_loras_of_before_are_written_down():
    leaves = MigrationExecutor(connection).loader.graph.leaf_nodes()
    now = timezone.now()
    soon, later = now + timedelta(hours=1), now + timedelta(hours=2)
    server, parent = factories.server(), factories.job(held=True, owner=factories.user())
    child = factories.job(owner=parent.owner)
    JobDependency.objects.create(job=child, parent=parent)
    jobs = {
        (None, None): factories.job(),
        (soon, None): factories.job(not_before=soon),
        (None, later): factories.job(retry_at=later),
        (soon, later): factories.job(not_before=soon, retry_at=later),
        (later, soon): factories.job(not_before=later, retry_at=soon),
    }
    with_lora = factories.job(generation_params={"positive_prompt": "a <lora:film:1>"})
    try:
        MigrationExecutor(connection).migrate(BEFORE)
        MigrationExecutor(connection).migrate(AFTER)
    finally:
        MigrationExecutor(connection).migrate(leaves)
    found = {job.pk: job for job in Job.objects.all()}
    for moments, job in jobs.items():
        wanted = max((moment for moment in moments if moment), default=None)
        assert found[job.pk].put_off_until == wanted, moments
    assert found[with_lora.pk].loras == "film"
    assert (found[child.pk].blocked, found[parent.pk].blocked) == (True, False)
    assert {c.id for c in candidates_for(server, "")} == {jobs[None, None].pk, with_lora.pk}
