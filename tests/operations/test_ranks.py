"""Room between places: one row a move, spread when it is used up, widened in the background."""

import itertools
import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection
from django.utils import timezone

from apikeys.actors import SYSTEM, Actor
from jobs import services
from jobs.choices import Status
from jobs.models import Job
from jobs.services import ranks, undo
from tests import factories

pytestmark = pytest.mark.django_db


def many(count: int, step: int, **fields: object) -> list[Job]:
    now = timezone.now()
    first = 10**18
    return Job.objects.bulk_create(
        Job(
            id=uuid.UUID(int=n + 1),
            app_type="forge",
            position=first + n * step,
            created_at=now,
            updated_at=now,
            **fields,
        )
        for n in range(count)
    )


def order() -> list[uuid.UUID]:
    return list(Job.objects.queued().values_list("pk", flat=True))


class Written:
    rows = 0


@contextmanager
def rows_of_jobs() -> Iterator[Written]:
    """Count the rows of jobs that are updated."""
    counted = Written()

    def watch(execute, sql, params, many, context):
        if sql.startswith("UPDATE jobs_job"):
            counted.rows += len(params) if many else 1
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        yield counted


@pytest.mark.parametrize("who", ["staff", "member"])
def test_a_drag_in_a_long_queue_writes_one_row(who):
    member = factories.user()
    many(2_000, 16_000, owner_id=member.pk)
    actor = SYSTEM if who == "staff" else Actor.of_user(member)
    chance, expected = random.Random(3), order()
    for _ in range(60):
        mover, beside = chance.sample(expected, 2)
        with rows_of_jobs() as written:
            services.move(mover, services.Goal("before", beside), actor)
        assert written.rows == 1
        expected.remove(mover)
        expected.insert(expected.index(beside), mover)
    assert order() == expected


@pytest.mark.parametrize("step", [1_000_000, 16_000, 1, 0])
def test_drags_into_one_gap_again_and_again_stay_cheap(step):
    many(400, step)
    expected, anchor = order(), order()[200]
    with rows_of_jobs() as written:
        for _ in range(300):
            mover = expected[-1]
            services.move(mover, services.Goal("after", anchor), SYSTEM)
            expected.remove(mover)
            expected.insert(expected.index(anchor) + 1, mover)
    assert order() == expected
    assert written.rows < 300 * 6


def test_widening_makes_room_and_changes_no_order():
    jobs = many(300, 16_000)
    other = [factories.job(priority=1, position=n) for n in range(5)]
    Job.objects.filter(pk__in=[job.pk for job in jobs[100:120]]).update(
        position=jobs[100].position + 1
    )
    before = order()
    assert ranks.widen() > 0
    assert order() == before
    for group in ({"priority": 5}, {"priority": 1}):
        places = list(Job.objects.filter(**group).order_by("position").values_list("position"))
        gaps = [b[0] - a[0] for a, b in itertools.pairwise(places)]
        assert min(gaps) >= ranks.NARROW
    assert ranks.widen() == 0, "nothing is left to do"
    assert len(other) == 5


def test_widening_leaves_what_is_wide_alone():
    many(50, 16_000)
    with rows_of_jobs() as written:
        assert ranks.widen() == 0
    assert written.rows == 0


def test_who_may_come_back_keeps_the_place_when_others_are_spread():
    """A running job that is put back, and one whose cancelling is undone."""
    jobs = many(9, 1)
    ids = [job.pk for job in jobs]
    Job.objects.filter(pk=ids[3]).update(status=Status.PROCESSING)
    taken = services.cancel(ids[5], SYSTEM).undo
    ranks.widen()
    Job.objects.filter(pk=ids[3]).update(status=Status.PENDING)
    undo.undo(taken.pk, SYSTEM)
    assert order() == ids


def test_a_job_submitted_after_a_spread_is_the_last_one():
    now = timezone.now()
    jobs = [factories.job() for _ in range(4)]
    Job.objects.update(position=jobs[-1].position)
    ranks.widen()
    last = factories.job(created_at=now)
    assert order()[-1] == last.pk
