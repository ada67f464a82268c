"""An interrupted run answers 200 with a half-baked picture: it must never be the result."""

import pytest

from dispatch.dispatchers.base import Address, Answer, Picture
from dispatch.dispatchers.forge import ForgeDispatcher
from dispatch.fakes.forge import FakeForge
from dispatch.lanes.run import Run
from gallery.models import Image
from jobs.choices import Outcome, Status
from jobs.models import Attempt
from tests import factories
from tests.dispatch.lane_harness import connected, lane, queue, until_final

pytestmark = pytest.mark.django_db(transaction=True)


def test_after_the_click_of_a_stranger_the_picture_is_made_again() -> None:
    with FakeForge(seconds=0.5) as fake:
        server = connected(fake)
        fake.faults.add("foreign_interrupt")
        [job] = queue()
        with lane(server, linger=0.05):
            [done] = until_final([job])
        half, whole = fake.log.runs()
    assert (half.interrupted, whole.interrupted) == (True, False)
    assert done.status == Status.COMPLETED
    assert done.attempts_made == 1, "it is not the job's fault"
    assert [a.outcome for a in job.attempts.order_by("number")] == [
        Outcome.INTERRUPTED,
        Outcome.COMPLETED,
    ]
    assert Image.objects.get().attempt == job.attempts.get(number=2).token


def test_fewer_pictures_than_asked_for_are_a_half_baked_answer() -> None:
    with FakeForge(seconds=0.2) as fake:
        server = connected(fake)
        fake.faults.add("foreign_interrupt")
        [job] = queue(params={"n_iter": 3}, images_wanted=3)
        with lane(server, linger=0.05):
            [done] = until_final([job])
    assert done.status == Status.COMPLETED
    assert Image.objects.count() == 3


def test_too_few_pictures_are_enough_to_know_it() -> None:
    """No poll has seen the click, and the next picture of ours has begun."""
    run = Run(factories.attempt(factories.job(Status.PROCESSING, images_wanted=2)))
    one, two = (Answer([Picture(b"")] * count, {}) for count in (1, 2))
    backend = ForgeDispatcher(Address("http://127.0.0.1:9"))
    assert not run.is_half_baked(two, backend, alone=False)
    assert run.is_half_baked(one, backend, alone=False)


def test_a_stranger_who_clicks_every_time_ends_it_with_a_reason() -> None:
    with FakeForge(seconds=0.2) as fake:
        server = connected(fake)
        fake.faults.add("foreign_interrupt", times=99)
        [job] = queue()
        for _ in range(4):
            factories.attempt(
                job,
                outcome=Outcome.INTERRUPTED,
                submitted_at=job.created_at,
                ended_at=job.created_at,
                cleared_at=job.created_at,
            )
        with lane(server, linger=0.05):
            [done] = until_final([job])
    assert (done.status, done.error_code) == (Status.FAILED, "interrupted_often")
    assert Attempt.objects.count() == 5
    assert not Image.objects.exists()
