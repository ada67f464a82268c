"""No job is left lying that comes at the very moment a lane lets go of its server (rule 21).

Nothing here sweeps: the release itself must be right.
"""

import threading
from typing import Any

import pytest
from django.db import connections, transaction
from django_q.models import OrmQ

from dispatch import wake
from dispatch.fakes.forge import FakeForge
from dispatch.lanes.lane import Lane
from dispatch.lease import Lease
from dispatch.models import Server
from jobs import transitions
from jobs.choices import Status
from jobs.models import Job
from tests.dispatch.lane_harness import connected, lane, queue, until_final

pytestmark = pytest.mark.django_db(transaction=True)


def submit() -> list[Job]:
    """Queue a job and wake its servers, in one transaction."""
    with transaction.atomic():
        jobs = queue()
        transitions.announce_waiting(jobs[0])
    return jobs


def just_before(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, act: Any) -> None:
    """Call `act` once, in the lane's thread, before the named method does its work."""
    original = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if not done:
            done.append(True)
            act()
        return original(*args, **kwargs)

    done: list[bool] = []
    monkeypatch.setattr(owner, name, wrapped)


def test_a_job_submitted_just_before_the_release_keeps_the_lane(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs: list[Job] = []
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        OrmQ.objects.all().delete()
        original = Lane._end_if_idle

        def end_if_idle(self: Lane, glance: Any) -> bool:
            if not jobs:  # the lane has looked, found nothing, and is about to go
                jobs.extend(submit())
            return original(self, glance)

        monkeypatch.setattr(Lane, "_end_if_idle", end_if_idle)
        with lane(server, linger=0):
            pass
        assert until_final(jobs, 0.1)[0].status == Status.COMPLETED
    assert OrmQ.objects.count() == 0, "it had the lease: nobody else had to be woken"


def test_a_job_submitted_during_the_release_wakes_another_lane(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs: list[Job] = []

    def submit_elsewhere() -> None:
        try:
            jobs.extend(submit())
        finally:
            connections.close_all()

    other = threading.Thread(target=submit_elsewhere)
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        OrmQ.objects.all().delete()

        def release_while_another_submits() -> None:
            other.start()
            other.join(0.2)  # on SQLite it waits for this transaction

        # Here the lane holds its row, has found nothing to do, and has not yet let go.
        just_before(monkeypatch, Lease, "release", release_while_another_submits)
        with lane(server, linger=0):
            pass
        other.join()
        assert jobs
        assert Server.objects.get().lane_token is None
        assert OrmQ.objects.count() == 1, "the job lies there and nobody is told"


def test_a_server_resumed_at_the_release_keeps_its_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever resumes it sees the lease and sends no kick."""
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake, paused=True)
        jobs = queue()
        original = Lane._end_if_idle

        def end_if_idle(self: Lane, glance: Any) -> bool:
            if glance.paused:
                with transaction.atomic():
                    Server.objects.update(paused=False)
                    wake.bump(pk=server.pk)
            return original(self, glance)

        monkeypatch.setattr(Lane, "_end_if_idle", end_if_idle)
        with lane(server, linger=0):
            pass
        assert until_final(jobs, 0.1)[0].status == Status.COMPLETED


def test_submissions_at_any_moment_around_releases_are_all_made() -> None:
    """Chance instead of hooks: short-lived lanes, started only by the product's own kicks."""
    from dispatch.tasks import run_lane
    from tests.dispatch.lane_harness import PACE

    def work_off() -> None:
        try:
            while not stopped.wait(0.005):
                for row in OrmQ.objects.order_by("pk"):
                    row.delete()
                    run_lane(*row.task["args"])
        finally:
            connections.close_all()

    stopped = threading.Event()
    with FakeForge(seconds=0) as fake, pytest.MonkeyPatch.context() as patch:
        from dataclasses import replace

        from dispatch import tasks

        patch.setattr(tasks, "default_pace", lambda: replace(PACE, linger=0, doze=0.005))
        connected(fake)
        workers = [threading.Thread(target=work_off) for _ in range(2)]
        for worker in workers:
            worker.start()
        try:
            for number in range(8):
                jobs = submit()
                until_final(jobs, 5)
                stopped.wait(0.013 * (number % 5))
        finally:
            stopped.set()
            for worker in workers:
                worker.join()
