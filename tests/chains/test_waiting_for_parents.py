"""A job starts only after those that it depends on, whoever asks."""

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apikeys.actors import SYSTEM
from dispatch.candidates import candidates_for, reasons
from jobs import again
from jobs.models import Job, JobDependency
from jobs.services import submit
from jobs.signals import job_waiting
from tests import factories
from tests.chains.making import (
    CANCELLED,
    PENDING,
    cancel,
    claim,
    fail,
    finish,
    is_due,
    order,
    start,
    status,
    waiting,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_can_be_claimed_only_when_its_parent_is_completed():
    first = factories.job()
    second = waiting(first)
    assert not is_due(second)
    assert claim(second) is None
    attempt = start(first)
    assert claim(second) is None
    finish(attempt)
    assert is_due(second)
    assert claim(second) is not None


def test_all_parents_count():
    first, other = factories.job(), factories.job()
    last = waiting(first, other)
    finish(start(first))
    assert claim(last) is None
    finish(start(other))
    assert claim(last) is not None


def test_a_lane_is_not_offered_it(server):
    first = factories.job()
    second = waiting(first)
    assert {c.id for c in candidates_for(server, "")} == {first.pk}
    finish(start(first))
    assert {c.id for c in candidates_for(server, "")} == {second.pk}


def test_its_reason_names_the_parent_and_how_to_go_on_without_it(server):
    first = factories.job()
    second = waiting(first)
    reason = reasons([Job.objects.get(pk=second.pk)])[second.pk]
    assert reason.code == "dependency"
    assert str(first.pk) in reason.message
    assert "a lighthouse" in reason.message
    assert [(b.kind, b.target) for b in reason.buttons] == [("cancel_dependency", str(first.pk))]


@pytest.mark.parametrize(
    "end", [lambda job: finish(start(job)), lambda job: fail(start(job)), cancel]
)
def test_the_end_of_a_parent_wakes_the_servers_in_its_own_transaction(end):
    first = factories.job()
    waiting(first, on_failure="run", target_server_alias=factories.server("b").alias)
    woken = []

    def hear(target_server_alias, **_):
        woken.append((target_server_alias, connection.in_atomic_block))

    job_waiting.connect(hear)
    try:
        end(first)
    finally:
        job_waiting.disconnect(hear)
    assert ("b", True) in woken


@pytest.mark.parametrize("end", [lambda job: fail(start(job)), cancel])
def test_on_failure_run_goes_on_whatever_becomes_of_the_parent(end):
    first = factories.job()
    second = waiting(first, on_failure="run")
    assert claim(second) is None
    end(first)
    assert claim(second) is not None


def test_a_parent_that_is_retried_is_waited_for_again():
    first = factories.job()
    second = waiting(first, on_failure="run")
    fail(start(first))
    assert is_due(second)
    with transaction.atomic():
        assert again.retry(first.pk)
    assert claim(second) is None


def test_a_completed_parent_holds_nothing_back():
    first = factories.job("completed")
    second = waiting(first)
    assert claim(second) is not None


def test_a_deleted_completed_parent_holds_nothing_back():
    first = factories.job("completed")
    second = waiting(first)
    Job.objects.filter(pk=first.pk).update(deleted_at=timezone.now())
    assert claim(second) is not None


def test_an_order_without_dependencies_costs_no_query_more():
    submit(order(), SYSTEM)
    with CaptureQueriesContext(connection) as asked:
        submit(order(), SYSTEM)
    assert not [q for q in asked.captured_queries if "dependency" in q["sql"].lower()]


def test_a_refused_order_leaves_nothing(rows):
    first = factories.job("failed")
    before = rows()
    with pytest.raises(Exception, match="failed already"):
        submit(order(first), SYSTEM)
    assert rows() == before
    assert not JobDependency.objects.exists()


def test_cancelled_children_stay_cancelled():
    first = factories.job()
    second = waiting(first)
    cancel(second)
    finish(start(first))
    assert status(second) == CANCELLED
    assert status(waiting(first)) == PENDING
