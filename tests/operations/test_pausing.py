"""While the queue is paused nothing new starts, from the answer on; what runs is finished."""

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction
from django_q.models import OrmQ

from dispatch.candidates import candidates_for, reasons
from dispatch.fakes.forge import FakeForge
from dispatch.sweep import Sweep
from jobs import transitions
from jobs.choices import Status
from jobs.models import Attempt, Job, QueueSettings
from jobs.services import queue
from tests import factories
from tests.dispatch.lane_harness import connected, eventually, lane, until_final
from tests.dispatch.lane_harness import queue as submitted

pytestmark = pytest.mark.django_db(transaction=True)

# What is paused -> how, for a server "a" of the only app type.
PAUSES: dict[str, dict[str, str]] = {
    "all": {},
    "app type": {"app_type": "forge"},
    "server": {"server": "a"},
}


def claim(job: Job) -> Attempt | None:
    with transaction.atomic():
        return transitions.claim(job.pk, server_alias="a", lane=uuid.uuid4())


@pytest.mark.parametrize("how", ["all", "app type"])
def test_the_claim_itself_refuses(how: str) -> None:
    [job] = submitted()
    queue.pause(**PAUSES[how])
    assert claim(job) is None
    assert candidates_for(factories.server(), "") == []
    queue.resume(**PAUSES[how])
    assert claim(job) is not None


def test_another_app_type_goes_on(settings) -> None:
    settings.DISPATCHERS = {**settings.DISPATCHERS, "other": settings.DISPATCHERS["forge"]}
    [job] = submitted()
    queue.pause(app_type="other")
    assert claim(job) is not None


@pytest.mark.parametrize("how", PAUSES)
def test_a_lane_starts_nothing_while_paused_and_goes_on_afterwards(how: str) -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        queue.pause(**PAUSES[how])
        jobs = submitted(2)
        with lane(server, linger=0.2):
            pass  # it ended by itself: there was nothing to do
        assert fake.log.runs() == []
        queue.resume(**PAUSES[how])
        with lane(server, linger=0.05):
            assert {job.status for job in until_final(jobs)} == {Status.COMPLETED}


def test_a_lingering_lane_is_woken_by_the_resume() -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        first, second = submitted(2)
        with lane(server, linger=1, recheck=60):
            until_final([first])
            until_final([second])
            queue.pause()
            [third] = submitted(1)
            with transaction.atomic():
                transitions.announce_waiting(third)
            queue.resume()
            until_final([third])


def test_what_runs_and_what_was_handed_over_is_finished() -> None:
    with FakeForge(seconds=0.6) as fake:
        server = connected(fake)
        jobs = submitted(4)
        with lane(server, linger=0.05, prefetch_lead=60):
            eventually(lambda: len(fake.log.runs()) == 2)
            queue.pause()
            started = set(Job.objects.filter(status=Status.PROCESSING))
        by_status = {status: Job.objects.filter(status=status) for status in Status.values}
        assert set(by_status["completed"]) >= started
        assert by_status["completed"].count() + by_status["pending"].count() == len(jobs)
        assert by_status["pending"].exists()


@pytest.mark.parametrize("how", PAUSES)
def test_the_sweep_kicks_nobody_for_a_paused_queue(how: str) -> None:
    factories.server()
    submitted(1)
    queue.pause(**PAUSES[how])
    OrmQ.objects.all().delete()
    Sweep().run()
    assert not OrmQ.objects.filter(key="dispatch").exists()
    queue.resume(**PAUSES[how])
    OrmQ.objects.all().delete()
    Sweep().run()
    assert OrmQ.objects.filter(key="dispatch").count() == 1


def test_the_resume_kicks_a_sleeping_lane() -> None:
    factories.server()
    queue.pause()
    OrmQ.objects.all().delete()
    queue.resume()
    assert OrmQ.objects.filter(key="dispatch").count() == 1


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("all", "The queue is paused: nothing new starts."),
        ("app type", "The queue is paused for forge jobs."),
        ("server", "a is paused."),
    ],
)
def test_a_waiting_job_says_so(how: str, sentence: str) -> None:
    factories.server()
    [job] = submitted()
    queue.pause(**PAUSES[how])
    reason = reasons([job])[job.pk]
    assert (reason.code, reason.message) == ("paused", sentence)
    assert reason.action.startswith("Resume")


def together(*acts: Callable[[], Any]) -> None:
    barrier = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> None:
        try:
            barrier.wait()
            act()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_nothing_starts_after_the_answer() -> None:
    """Lanes claim as fast as they can while somebody pauses; then the number stands still."""
    for _ in range(5):
        jobs = submitted(40)
        started_at_answer = []

        def pause(seen: list[int] = started_at_answer) -> None:
            while not Job.objects.filter(status=Status.PROCESSING).exists():
                pass
            queue.pause()
            seen.append(Job.objects.filter(status=Status.PROCESSING).count())

        def claims(own: list[Job]) -> Callable[[], None]:
            return lambda: [claim(job) for job in own] and None

        together(pause, claims(jobs[::2]), claims(jobs[1::2]))
        assert Job.objects.filter(status=Status.PROCESSING).count() == started_at_answer[0]
        queue.resume()
        Attempt.objects.all().delete()
        Job.objects.all().delete()


def test_pauses_of_two_app_types_at_once_both_hold(settings) -> None:
    forge = settings.DISPATCHERS["forge"]
    settings.DISPATCHERS = dict.fromkeys(("forge", "b", "c", "d"), forge)
    names = ["forge", "b", "c", "d"]
    together(*(lambda name=name: queue.pause(app_type=name) for name in names))
    assert QueueSettings.current().paused_app_types == sorted(names)
