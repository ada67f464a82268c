"""A parent that comes to nothing takes along what can't go on without it, also after a crash."""

import itertools

import pytest
from django.db import connection, transaction

from apikeys.actors import SYSTEM
from dispatch.sweep import Sweep
from jobs import chains, transitions
from jobs.models import Event, Job, JobDependency
from jobs.services import delete
from tests import factories
from tests.chains.making import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PENDING,
    TROUBLE,
    cancel,
    claim,
    fail,
    finish,
    start,
    status,
    statuses,
    waiting,
)

pytestmark = pytest.mark.django_db(transaction=True)


class Killed(BaseException):
    """The process dies here."""


def die(*_, **__):
    raise Killed


def error_of(job):
    return Job.objects.values_list("error_code", "error_message").get(pk=job.pk)


def test_children_and_their_children_fail_with_the_reason():
    first = factories.job()
    second = waiting(first)
    third = waiting(second)
    fail(start(first))
    assert statuses(first, second, third) == [FAILED, FAILED, FAILED]
    code, message = error_of(second)
    assert code == "dependency_failed"
    assert str(first.pk) in message and "could not make it" in message
    assert str(second.pk) in error_of(third)[1]
    told = Event.objects.filter(kind="job.status", job__in=[second.pk, third.pk])
    assert {e.payload["error"]["code"] for e in told} == {"dependency_failed"}


def test_a_cancelled_parent_takes_its_children_along():
    first = factories.job()
    second = waiting(first)
    cancel(first)
    assert statuses(first, second) == [CANCELLED, FAILED]
    assert "was cancelled" in error_of(second)[1]


def test_many_cancelled_at_once_take_theirs_along():
    parents = [factories.job() for _ in range(3)]
    children = [waiting(parent) for parent in parents]
    with transaction.atomic():
        transitions.cancel_pending([parent.pk for parent in parents])
    assert statuses(*children) == [FAILED] * 3


def test_a_deleted_parent_that_waited_takes_its_children_along():
    first = factories.job()
    second = waiting(first)
    delete(first.pk, SYSTEM)
    assert status(second) == FAILED
    assert "was deleted" in error_of(second)[1]


def test_a_parent_whose_time_passed_takes_its_children_along():
    first = factories.job()
    second = waiting(first)
    with transaction.atomic():
        assert transitions.fail_pending(first, TROUBLE)
    assert status(second) == FAILED


def test_only_what_needs_it_is_taken_along():
    first, other = factories.job(), factories.job()
    second, loose, apart = waiting(first), waiting(first, on_failure="run"), waiting(other)
    below_loose = waiting(loose)
    fail(start(first))
    assert statuses(second, loose, apart, below_loose) == [FAILED, PENDING, PENDING, PENDING]
    assert claim(loose) is not None


def test_a_chain_of_a_thousand_is_followed_to_its_end():
    jobs = [factories.job()]
    rows = [
        Job(app_type="forge", created_at=jobs[0].created_at, updated_at=jobs[0].updated_at)
        for _ in range(1000)
    ]
    Job.objects.bulk_create(rows)
    every = [*jobs, *rows]
    JobDependency.objects.bulk_create(
        JobDependency(job=child, parent=parent) for parent, child in itertools.pairwise(every)
    )
    fail(start(jobs[0]))
    assert not Job.objects.filter(status=PENDING).exists()


def test_more_children_than_one_transaction_takes_all_fail(monkeypatch):
    monkeypatch.setattr(chains, "_AT_ONCE", 2)
    first = factories.job()
    children = [waiting(first) for _ in range(5)]
    fail(start(first))
    assert set(statuses(*children)) == {FAILED}


def test_a_child_is_not_claimed_between_the_failure_and_its_own(monkeypatch):
    first = factories.job()
    second = waiting(first)
    monkeypatch.setattr(chains, "settle", lambda ended: [])
    fail(start(first))
    assert status(second) == PENDING
    assert claim(second) is None


@pytest.mark.parametrize("end", [lambda job: fail(start(job)), cancel])
def test_the_sweep_finishes_what_a_process_began_that_died_before_it(monkeypatch, end):
    first = factories.job()
    second = waiting(first)
    third = waiting(second)
    with monkeypatch.context() as patch:
        patch.setattr(chains, "_fail_dependents", die)
        with pytest.raises(Killed):
            end(first)
    assert statuses(second, third) == [PENDING, PENDING]
    Sweep().run()
    assert statuses(second, third) == [FAILED, FAILED]


def test_the_sweep_finishes_what_a_process_left_half_done(monkeypatch):
    first = factories.job()
    second = waiting(first)
    third = waiting(second)
    whole = chains._fail_dependents
    steps = []

    def one_step(parents):
        if steps:
            raise Killed
        steps.append(parents)
        return whole(parents)

    with monkeypatch.context() as patch:
        patch.setattr(chains, "_fail_dependents", one_step)
        with pytest.raises(Killed):
            fail(start(first))
    assert statuses(second, third) == [FAILED, PENDING]
    Sweep().run()
    assert status(third) == FAILED


def test_trouble_behind_the_end_does_not_undo_it(monkeypatch):
    first = factories.job()
    waiting(first)

    def trouble(parents):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(chains, "_fail_dependents", trouble)
    fail(start(first))
    assert status(first) == FAILED


def test_after_trouble_the_next_chain_is_followed_again(monkeypatch):
    first, other = factories.job(), factories.job()
    waiting(first)
    below = waiting(other)
    with monkeypatch.context() as patch:
        patch.setattr(chains, "_fail_dependents", die)
        with pytest.raises(Killed):
            fail(start(first))
    fail(start(other))
    assert status(below) == FAILED


def test_a_completed_parent_takes_nobody_along():
    first = factories.job()
    second = waiting(first)
    finish(start(first))
    assert chains.settle([first.pk]) == []
    assert chains.settle_left() == 0
    assert statuses(first, second) == [COMPLETED, PENDING]
    assert not connection.in_atomic_block


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL plans by its statistics.")
def test_the_look_for_half_done_chains_walks_no_queue():
    left = JobDependency.objects.hopeless().of_waiting_jobs().values_list("parent")[:200]
    plan = left.explain()
    assert "SCAN jobs_jobdependency" in plan
    assert plan.count("SEARCH") == 2 and "SCAN jobs_job\n" not in plan
