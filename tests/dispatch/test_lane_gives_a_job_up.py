"""A job that takes down whatever touches it ends with a reason (protocol rule 23, design §5)."""

from datetime import timedelta

import pytest
from django.utils import timezone

from dispatch import standing
from dispatch.fakes.forge import FakeForge
from dispatch.lanes import outcomes
from jobs.choices import Outcome, Status
from tests.dispatch.lane_harness import connected, earlier, eventually, lane, queue, until_final
from tests.dispatch.lane_processes import Cluster

pytestmark = pytest.mark.django_db(transaction=True)


def test_after_our_fifth_crash_in_a_row_over_one_job_it_fails(cluster: Cluster) -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        fatal, harmless = queue(2)
        for _ in range(5):
            cluster.start(server, halt_at="dispatch.lanes.run.Run.send").join()
        cluster.start(server)
        done = until_final([fatal, harmless])
    assert (done[0].status, done[0].error_code) == (Status.FAILED, "crashes_us")
    assert done[0].attempts_made == 0
    assert done[1].status == Status.COMPLETED


def test_the_job_behind_one_that_ends_us_is_not_blamed(cluster: Cluster) -> None:
    with FakeForge(seconds=0.6) as fake:
        server = connected(fake)
        fatal, behind = queue(2)
        former = cluster.start(server, prefetch_lead=60)
        eventually(lambda: len(fake.log.runs()) == 2)
        former.kill()
        fake.engine.seconds = 0.1
        cluster.start(server)
        until_final([fatal, behind])
    first = [job.attempts.get(number=1).outcome for job in (fatal, behind)]
    assert first == [Outcome.LOST, Outcome.NEVER_REACHED]


def test_after_the_servers_fifth_death_in_a_row_over_one_job_it_fails() -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        fake.faults.add("drop_before")
        [job] = queue()
        earlier(job, *[Outcome.BACKEND_DIED] * 4)
        with lane(server, linger=0.05):
            [done] = until_final([job])
    assert (done.status, done.error_code) == (Status.FAILED, "backend_dies")


def test_a_try_that_never_reached_the_server_does_not_break_the_row() -> None:
    """A job that kills its server finds it starting each second time."""
    died, refused = Outcome.BACKEND_DIED, Outcome.NEVER_REACHED
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        fake.faults.add("drop_before")
        [job] = queue()
        earlier(job, died, refused, died, refused, died, refused, died, refused)
        with lane(server, linger=0.05):
            [done] = until_final([job])
    assert (done.status, done.error_code) == (Status.FAILED, "backend_dies")


def test_a_picture_in_between_begins_a_new_row() -> None:
    died, error = Outcome.BACKEND_DIED, Outcome.ERROR
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        fake.faults.add("drop_before")
        [job] = queue()
        earlier(job, died, died, error, died, died)
        with lane(server, linger=0.05):
            [done] = until_final([job])
    assert done.status == Status.COMPLETED


def test_errors_that_may_pass_are_tried_again_later_and_only_so_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        outcomes, "_retry_at", lambda made: timezone.now() + timedelta(seconds=0.1 * made)
    )
    monkeypatch.setattr(standing, "ASIDE_AFTER", 99)
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        fake.faults.add("http_500", times=9)
        [job] = queue()
        with lane(server):
            [done] = until_final([job])
        assert len(fake.log.runs()) == 3
    assert (done.status, done.error_code, done.attempts_made) == (
        Status.FAILED,
        "backend_error",
        3,
    )


def test_a_retry_is_put_off_by_more_each_time() -> None:
    now = timezone.now()
    waits = [(outcomes._retry_at(made) - now).total_seconds() for made in (1, 2, 3, 99)]
    for wait, middle in zip(waits, (5, 20, 80, 600), strict=True):
        assert 0.8 * middle <= wait <= 1.2 * middle + 1


def test_what_breaks_our_own_code_fails_and_the_lane_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dispatch.dispatchers.forge import ForgeDispatcher

    original = ForgeDispatcher.prepare

    def prepare(self, order, inventory):
        if order.params["seed"] == 100:
            raise ZeroDivisionError
        return original(self, order, inventory)

    monkeypatch.setattr(ForgeDispatcher, "prepare", prepare)
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        jobs = queue(2)
        with lane(server, linger=0.05):
            broken, fine = until_final(jobs)
    assert (broken.status, broken.error_code) == (Status.FAILED, "internal_error")
    assert fine.status == Status.COMPLETED
    eventually(lambda: not fake.engine.state.job)
