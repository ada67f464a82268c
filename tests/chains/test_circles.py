"""Jobs never wait for each other in a circle; whatever the graph, each job ends up rightly."""

import random
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apikeys.actors import SYSTEM
from jobs import chains
from jobs.models import Job, JobDependency
from jobs.services import Need, patch
from jobs.services.chains import circle_in
from mobilesd.errors import InvalidInput
from tests import factories
from tests.chains.making import (
    CANCELLED,
    COMPLETED,
    FAILED,
    cancel,
    claim,
    fail,
    finish,
    statuses,
    waiting,
)

ids = st.integers(0, 7).map(lambda n: UUID(int=n))
graphs = st.dictionaries(ids, st.lists(ids, max_size=4), max_size=8)


def reaches(needs, start, goal):
    seen, left = set(), list(needs.get(start, ()))
    while left:
        one = left.pop()
        if one == goal:
            return True
        if one not in seen:
            seen.add(one)
            left += needs.get(one, ())
    return False


@given(graphs)
def test_a_circle_is_found_if_there_is_one_and_is_one(needs):
    found = circle_in(needs)
    assert bool(found) == any(reaches(needs, one, one) for one in needs)
    for one, following in zip(found, [*found[1:], *found[:1]], strict=True):
        assert following in needs[one]


def test_a_long_chain_is_no_trouble():
    assert circle_in({UUID(int=n): [UUID(int=n + 1)] for n in range(20_000)}) == []


def need(job):
    return {"depends_on": (Need(job.pk),)}


@pytest.mark.django_db
def test_a_change_that_would_close_a_circle_is_refused_and_changes_nothing():
    first = waiting()
    second = waiting(first)
    third = waiting(second)
    before = set(JobDependency.objects.values_list("job", "parent"))
    with pytest.raises(InvalidInput) as refused:
        patch(first.pk, SYSTEM, {**need(third), "priority": 1}, {})
    assert refused.value.error == "dependency_cycle"
    assert all(str(job.pk) in refused.value.message for job in (first, second, third))
    assert set(JobDependency.objects.values_list("job", "parent")) == before
    assert Job.objects.get(pk=first.pk).priority == 5


@pytest.mark.django_db
def test_a_job_can_t_wait_for_itself():
    first = waiting()
    with pytest.raises(InvalidInput) as refused:
        patch(first.pk, SYSTEM, need(first), {})
    assert refused.value.error == "dependency_cycle"


@pytest.mark.django_db(transaction=True)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 2**32))
def test_in_any_chain_each_job_ends_as_its_parents_let_it(seed):
    chance = random.Random(seed)
    Job.objects.all().delete()
    jobs, needs = [], {}
    for _ in range(chance.randint(2, 9)):
        parents = chance.sample(jobs, min(len(jobs), chance.randint(0, 3)))
        how = chance.choice(["cancel", "cancel", "run"])
        job = waiting(*parents, on_failure=how)
        jobs.append(job)
        needs[job.pk] = [(parent.pk, how) for parent in parents]
    wanted = {}

    def end(job, how):
        wanted[job.pk] = how
        for other in jobs:  # in the order of submission: parents first
            hard = [parent for parent, how in needs[other.pk] if how == "cancel"]
            if any(wanted.get(parent, COMPLETED) != COMPLETED for parent in hard):
                wanted.setdefault(other.pk, FAILED)

    while left := [job for job in jobs if job.pk not in wanted]:
        moved = False
        for job in chance.sample(left, len(left)):
            if job.pk in wanted:
                continue
            if chance.random() < 0.15:
                cancel(job)
                end(job, CANCELLED)
                moved = True
            elif (attempt := claim(job)) is not None:
                assert all(parent in wanted for parent, _ in needs[job.pk]), "it overtook a parent"
                how = chance.choice([COMPLETED, COMPLETED, FAILED])
                (finish if how == COMPLETED else fail)(attempt)
                end(job, how)
                moved = True
        assert moved, "something waits for ever"
    assert statuses(*jobs) == [wanted[job.pk] for job in jobs]
    assert chains.settle_left() == 0


@pytest.mark.django_db
def test_a_job_names_no_more_others_than_fifty():
    parents = [factories.job() for _ in range(51)]
    with pytest.raises(InvalidInput, match="limit is 50"):
        waiting(*parents)
