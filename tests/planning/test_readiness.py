"""What waits for a time or for other jobs is out of a lane's way, and comes back by its place."""

import random
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dispatch import heads
from dispatch.candidates import candidates_for
from dispatch.scheduling import choose
from dispatch.sweep import Sweep
from jobs import readiness
from jobs.choices import Outcome
from jobs.models import Job, JobDependency
from jobs.transitions import claim, end_attempt, requeue
from tests import factories
from tests.dispatch.scheduling_cases import state

pytestmark = pytest.mark.django_db


def seen(server):
    return {job.id for job in candidates_for(server, "")}


def blocked(job):
    return Job.objects.values_list("blocked", flat=True).get(pk=job.pk)


def put_off(job):
    return Job.objects.values_list("put_off_until", flat=True).get(pk=job.pk)


# --- Until a time -------------------------------------------------------------------------


def test_jobs_that_were_put_off_until_one_moment_start_in_the_order_of_the_queue():
    server, rng = factories.server(), random.Random(4)
    moment = timezone.now() + timedelta(hours=1)
    places = list(range(1, 101))
    rng.shuffle(places)
    jobs = {
        place: factories.job(
            not_before=moment, position=place * 10, id=uuid.UUID(int=rng.getrandbits(128))
        )
        for place in places
    }
    top = jobs[77]
    Job.objects.filter(pk=top.pk).update(position=1)
    assert seen(server) == set()
    Job.objects.update(not_before=timezone.now() - timedelta(seconds=1))
    started = []
    for _ in range(12):
        chosen = choose(state(), candidates_for(server, "")).candidate
        claim(chosen.id, server_alias="a", lane=uuid.uuid4())
        started.append(chosen.id)
    wanted = [top, *(jobs[place] for place in range(1, 12))]
    assert started == [job.pk for job in wanted]


def test_more_than_fit_into_one_transaction_begin_before_anything_is_chosen(monkeypatch):
    monkeypatch.setattr(readiness, "_AT_ONCE", 3)
    past = timezone.now() - timedelta(minutes=1)
    for place in range(10, 0, -1):
        factories.job(not_before=past - timedelta(seconds=place), position=place)
    assert readiness.begin_due(timezone.now()) == 10
    assert readiness.begin_due(timezone.now()) == 0


def test_what_is_due_later_or_has_ended_stays_put_off():
    now = timezone.now()
    later = factories.job(not_before=now + timedelta(hours=1))
    ended = factories.job("cancelled", not_before=now - timedelta(hours=1))
    assert readiness.begin_due(now) == 0
    assert put_off(later) == later.not_before
    assert put_off(ended) == ended.not_before


@pytest.mark.parametrize("name", ["not_before", "retry_at"])
def test_the_later_of_both_moments_counts(name):
    now = timezone.now()
    first, later = now + timedelta(hours=1), now + timedelta(hours=2)
    job = factories.job(**{"not_before": first, "retry_at": first} | {name: later})
    assert put_off(job) == later
    Job.objects.filter(pk=job.pk).update(**{name: None})
    assert put_off(job) == first
    Job.objects.filter(pk=job.pk).update(not_before=None, retry_at=None)
    assert put_off(job) is None
    Job.objects.filter(pk=job.pk).update(**{name: later})
    assert put_off(job) == later


def test_a_job_that_failed_is_out_of_the_way_until_it_is_tried_again():
    server, job = factories.server(), factories.job()
    attempt = claim(job.pk, server_alias="a", lane=uuid.uuid4())
    ended = end_attempt(attempt.token, outcome=Outcome.ERROR)
    requeue(ended, retry_at=timezone.now() + timedelta(minutes=1))
    assert put_off(job) is not None
    assert seen(server) == set()
    Job.objects.filter(pk=job.pk).update(retry_at=timezone.now())
    assert seen(server) == {job.pk}


def test_after_a_clock_jump_back_what_stands_among_the_others_too_early_is_stepped_over():
    server = factories.server()
    job = factories.job(not_before=timezone.now() - timedelta(seconds=1))
    assert seen(server) == {job.pk}
    models = Job.objects.filter(pk=job.pk)
    super(type(models), models).update(not_before=timezone.now() + timedelta(hours=1))
    assert put_off(job) is None
    assert seen(server) == set()


# --- Other jobs ---------------------------------------------------------------------------


def child_of(*parents, on_failure="cancel", **fields):
    job = factories.job(**fields)
    for parent in parents:
        JobDependency.objects.create(job=job, parent=parent, on_failure=on_failure)
    readiness.note_blocked([job.pk])
    return job


def test_a_blocked_job_is_in_none_of_the_indexes_that_a_lane_steps_through():
    server, parent = factories.server(), factories.job(held=True)
    assert blocked(child_of(parent))
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert seen(server) == set()
    assert not any("owners(scope)" in query["sql"] for query in asked), "no level waits"
    assert not blocked(child_of(factories.job("completed")))


def test_the_sweep_finds_whose_parents_ended_unnoticed(monkeypatch):
    monkeypatch.setattr(readiness, "_SWEPT", 3)
    parent, held = factories.job(), factories.job(held=True)
    children = [child_of(parent) for _ in range(7)]
    still = child_of(held)
    # As by a process that died between its commit and what was to follow.
    Job.objects.filter(pk=parent.pk).update(status="completed")
    sweep = Sweep()
    for _ in range(3):
        sweep.run()
    assert not any(blocked(child) for child in children)
    assert blocked(still)


def test_a_job_without_its_dependency_is_not_blocked_any_more():
    from apikeys.actors import SYSTEM
    from jobs.services import patch
    from tests.chains.making import waiting

    job = waiting(factories.job())
    assert blocked(job)
    patch(job.pk, SYSTEM, {"depends_on": ()}, {})
    assert not blocked(job)


def test_a_retry_asks_the_parents_anew():
    from jobs.again import retry

    parent = factories.job()
    job = child_of(parent)
    Job.objects.filter(pk=job.pk).update(status="failed")
    Job.objects.filter(pk=parent.pk).update(status="completed")
    assert blocked(job)
    retry(job.pk)
    assert not blocked(job)
    Job.objects.filter(pk=parent.pk).update(status="pending")
    Job.objects.filter(pk=job.pk).update(status="failed")
    retry(job.pk)
    assert blocked(job)


def test_a_look_takes_as_many_steps_however_many_are_blocked_or_put_off():
    server, parent = factories.server(), factories.job(held=True)

    def statements_of_a_look():
        with CaptureQueriesContext(connection) as asked:
            seen(server)
        return len(asked)

    factories.job()
    few = statements_of_a_look()
    for _ in range(heads.HEAD * 2):
        child_of(parent)
        factories.job(not_before=timezone.now() + timedelta(days=1))
    assert statements_of_a_look() == few
