"""With our companion at a server, a cancel ends exactly its own job, running or waiting."""

import threading
from pathlib import Path

import pytest
import requests
from django.db import transaction

from dispatch.dispatchers.forge import ForgeDispatcher
from dispatch.fakes.forge import FakeForge
from gallery.models import Image
from jobs import again, transitions
from jobs.choices import Outcome, Status
from jobs.models import Attempt
from tests.dispatch.lane_harness import (
    cancel,
    connected,
    eventually,
    lane,
    no_attempt_left,
    queue,
    samples,
    until_final,
)

pytestmark = pytest.mark.django_db(transaction=True)

_STORE = "dispatch.lanes.store.complete"
_RESULT = "/mobilesd/v1/jobs/*/result"
THEIRS = {"prompt": "theirs", "steps": 4, "width": 64, "height": 64}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the companion keeps its data; it outlives a fake."""
    return tmp_path / "companion"


def states(folder: Path) -> set[str]:
    """Return the states of all attempts that lie on the companion's disk."""
    files = folder.glob("companion-*/*.job")
    heads = [file.read_text(errors="replace").partition("\n")[0] for file in files]
    return {requests.models.complexjson.loads(head)["state"] for head in heads}


def foreign_run(fake: FakeForge) -> threading.Thread:
    """Let somebody else order a picture there."""
    url = f"{fake.url}/sdapi/v1/txt2img"
    thread = threading.Thread(target=requests.post, args=(url,), kwargs={"json": THEIRS})
    thread.start()
    return thread


def test_a_running_picture_is_stopped_although_somebody_elses_waits_behind_it(
    folder: Path,
) -> None:
    """Plain Forge can't: between the look and the act the next one may have begun."""
    with FakeForge(seconds=4, companion=folder) as fake:
        server = connected(fake)
        [job] = queue(params={"steps": 40})
        with lane(server, linger=0.05):
            eventually(lambda: samples(fake))
            theirs = foreign_run(fake)
            eventually(fake.engine.tasks.pending)
            fake.engine.seconds = 0.4
            cancel(job)
            eventually(no_attempt_left, 3)
            theirs.join()
        ours, other = fake.log.runs()
    assert ours.interrupted
    assert not other.interrupted
    assert not Image.objects.exists()


def test_one_that_waits_behind_somebody_elses_never_hits_theirs(folder: Path) -> None:
    with FakeForge(seconds=1, companion=folder) as fake:
        server = connected(fake)
        theirs = foreign_run(fake)
        eventually(lambda: samples(fake))
        fake.engine.seconds = 60  # ours would take so long
        [job] = queue(params={"steps": 40})
        with lane(server, linger=0.05):
            eventually(lambda: len(fake.log.runs()) == 2)
            cancel(job)
            theirs.join()
            eventually(no_attempt_left)
        fake.engine.seconds = 0.1
        foreign_run(fake).join()
        first, ours, last = fake.log.runs()
    assert not first.interrupted
    assert ours.interrupted
    assert not last.interrupted


def test_one_that_was_handed_over_is_taken_back_and_never_begins(folder: Path) -> None:
    with FakeForge(seconds=1, companion=folder) as fake:
        server = connected(fake)
        running, handed_over = queue(2)
        with lane(server, linger=0.05, prefetch_lead=60):
            eventually(lambda: Attempt.objects.filter(submitted_at__isnull=False).count() == 2)
            eventually(lambda: len(list(folder.glob("companion-*/*.job"))) == 2)
            cancel(handed_over)
            eventually(lambda: not handed_over.attempts.filter(cleared_at__isnull=True), 0.9)
            assert running.attempts.get().ended_at is None, "the good one goes on"
            assert until_final([running])[0].status == Status.COMPLETED
        [run] = fake.log.runs()
    assert not run.interrupted


def test_it_needs_no_task_ids_for_that(folder: Path) -> None:
    with FakeForge(seconds=4, nowebui=True, companion=folder) as fake:
        server = connected(fake)
        [job] = queue(params={"steps": 40})
        with lane(server, linger=0.05):
            eventually(lambda: samples(fake))
            cancel(job)
            eventually(no_attempt_left, 3)
        assert fake.log.runs()[0].interrupted


def test_a_job_that_is_retried_at_once_begins_when_its_old_run_is_over(folder: Path) -> None:
    with FakeForge(seconds=4, companion=folder) as fake:
        server = connected(fake)
        [job] = queue(params={"steps": 40})
        with lane(server, linger=0.5):
            eventually(lambda: samples(fake))
            with transaction.atomic():
                transitions.cancel(job.pk)
                again.retry(job.pk)
            fake.engine.seconds = 0.1
            assert until_final([job])[0].status == Status.COMPLETED
        first, second = fake.log.runs()
    assert first.interrupted
    assert second.started_at >= first.ended_at
    assert not second.interrupted


def test_a_picture_that_somebody_else_interrupted_is_made_again(folder: Path) -> None:
    """Also one so short that nobody saw it: the answer tells."""
    with FakeForge(seconds=0.1, companion=folder) as fake:
        server = connected(fake)
        fake.faults.add("foreign_interrupt")
        [job] = queue()
        with lane(server):
            assert until_final([job])[0].status == Status.COMPLETED
        assert [run.interrupted for run in fake.log.runs()] == [True, False]
    assert [a.outcome for a in job.attempts.order_by("number")] == [
        Outcome.INTERRUPTED,
        Outcome.COMPLETED,
    ]


def test_a_cancel_that_gets_lost_is_sent_again_and_nothing_else_is_tried(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupting whatever runs could hit another one by now."""
    interrupts = []
    monkeypatch.setattr(ForgeDispatcher, "interrupt", lambda self: interrupts.append(self))
    with FakeForge(seconds=4, companion=folder) as fake:
        server = connected(fake)
        [job] = queue(params={"steps": 40})
        with lane(server, linger=0.05):
            eventually(lambda: samples(fake))
            fake.faults.add("drop_before", path="/mobilesd/v1/jobs/*/cancel", times=3)
            cancel(job)
            eventually(no_attempt_left, 3)
        assert fake.log.runs()[0].interrupted
    assert interrupts == []
