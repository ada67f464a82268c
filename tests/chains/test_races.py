"""A chain while others are at it: nothing overtakes, and nothing waits for ever.

On PostgreSQL the sessions meet in the middle of their transactions; on SQLite one waits for the
other. Each race is the same on both.
"""

import random
import threading

import pytest
from django.db import connection, connections, transaction

from apikeys.actors import SYSTEM
from dispatch.sweep import Sweep
from jobs import again, chains, transitions
from jobs.choices import Status
from jobs.models import Attempt, Job, JobDependency
from jobs.services import submit
from mobilesd.errors import Conflict
from tests import factories
from tests.chains.making import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PENDING,
    claim,
    fail,
    finish,
    order,
    start,
    status,
    waiting,
)

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*acts):
    """Do these in threads of their own at the same time; return what each gave or raised."""
    barrier, got = threading.Barrier(len(acts)), [None] * len(acts)

    def one(number):
        try:
            barrier.wait()
            got[number] = acts[number]()
        except Exception as error:
            got[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


@pytest.mark.parametrize("end", [finish, fail])
def test_a_child_that_is_submitted_while_its_parent_ends(end):
    for _ in range(12):
        first = factories.job()
        attempt = start(first)
        got, ended = at_once(lambda: submit(order(first), SYSTEM).job, lambda: end(attempt))  # noqa: B023
        assert ended is None
        if end is finish:
            assert claim(got) is not None
        elif isinstance(got, Conflict):  # the failure came first, and the answer says so
            assert not JobDependency.objects.filter(parent=first).exists()
        else:  # it took the child along without the sweep
            assert status(got) == FAILED


def test_a_child_is_not_claimed_once_its_parent_waits_again():
    for _ in range(12):
        first = factories.job()
        second = waiting(first, on_failure="run")
        fail(start(first))

        def queue_again():
            with transaction.atomic():
                return again.retry(first.pk)  # noqa: B023

        attempt, queued = at_once(lambda: claim(second), queue_again)  # noqa: B023
        assert queued is True
        assert claim(second) is None
        assert Attempt.objects.filter(job=second).count() == (attempt is not None)


def test_two_parents_that_fail_at_once_fail_their_child_once():
    for _ in range(8):
        first, other = factories.job(), factories.job()
        last = waiting(first, other)
        below = waiting(last)
        attempts = [start(first), start(other)]
        got = at_once(lambda: fail(attempts[0]), lambda: fail(attempts[1]))  # noqa: B023
        assert got == [None, None]
        assert [status(last), status(below)] == [FAILED, FAILED]
        assert last.events.filter(kind="job.status", payload__status="failed").count() == 1


def test_a_cancelled_child_and_its_failing_parent_meet():
    for _ in range(8):
        first = factories.job()
        second = waiting(first)
        below = waiting(second)
        attempt = start(first)

        def give_up():
            with transaction.atomic():
                return transitions.cancel(second.pk)  # noqa: B023

        _, ended = at_once(give_up, lambda: fail(attempt))  # noqa: B023
        assert ended is None
        assert status(second) in (CANCELLED, FAILED)
        assert status(below) == FAILED


def test_a_crowd_on_one_chain_leaves_every_job_in_a_final_state():
    """Lanes, people and sweeps at random, on random chains; then what is left is drained."""
    chance = random.Random(7)
    jobs = []
    for _ in range(30):
        parents = chance.sample(jobs, min(len(jobs), chance.randint(0, 3)))
        jobs.append(waiting(*parents, on_failure=chance.choice(["cancel", "run"])))

    def lane(seed):
        own = random.Random(seed)
        for _ in range(40):
            job = own.choice(jobs)
            if own.random() < 0.1:
                with transaction.atomic():
                    transitions.cancel(job.pk)
            elif (attempt := claim(job)) is not None:
                ended = own.choice([finish, finish, fail])
                try:
                    ended(attempt)
                except AssertionError:  # somebody cancelled it
                    assert status(job) == CANCELLED

    trouble = list(at_once(*(lambda n=n: lane(n) for n in range(4)), chains.settle_left))
    assert [one for one in trouble[:4] if one is not None] == []
    while due := [job for job in jobs if (a := claim(job)) is not None and finish(a) is None]:
        assert due
    Sweep().run()
    left = Job.objects.exclude(status__in=[COMPLETED, FAILED, CANCELLED])
    assert not left.exists(), list(left.values_list("pk", "status"))
    for row in JobDependency.objects.filter(job__attempts__isnull=False).select_related("parent"):
        assert row.parent.status == COMPLETED or row.on_failure == "run"
    assert connection.vendor in ("sqlite", "postgresql")
    assert {Status.PENDING} == {PENDING}
