"""A background job of many pictures gives way after the one that is being made (issue 4.4)."""

import itertools

import pytest
from django.db import transaction

from dispatch.fakes.forge import FakeForge
from gallery.models import Image
from jobs import transitions
from jobs.choices import Outcome, Status
from jobs.models import Attempt, Event, Job, QueueSettings
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


def background(pictures: int = 6, **fields) -> Job:
    """Queue a background job of so many pictures, one at a time."""
    params = {"n_iter": pictures, "seed": 500, **fields.pop("params", {})}
    size = params.get("batch_size", 1)
    fields.setdefault("lane_class", "background")
    [job] = queue(params=params, images_wanted=pictures * size, **fields)
    return job


def submit(**fields) -> Job:
    """Queue an interactive job as the API does: servers that could take it are woken."""
    with transaction.atomic():
        [job] = queue(**fields)
        transitions.announce_waiting(job)
    return job


def pictures_of(job: Job) -> list[tuple]:
    return list(
        Image.objects.filter(job=job).order_by("index").values_list("index", "seed", "sha256")
    )


def made(job: Job) -> int:
    return Job.objects.values_list("images_made", flat=True).get(pk=job.pk)


def test_an_interactive_job_starts_between_two_pictures_of_a_background_job():
    with FakeForge(seconds=0.5) as fake:
        server = connected(fake)
        job = background(6)
        with lane(server, linger=0.05):
            eventually(lambda: made(job) == 1 and samples(fake))
            urgent = submit(params={"seed": 9})
            done, first = until_final([job, urgent])
            runs = fake.log.runs()
        whole = background(6, lane_class="interactive")
        with lane(server, linger=0.05):
            [at_once] = until_final([whole])
    assert [run.payload["seed"] for run in runs] == [500, 501, 9, 502, 503, 504, 505]
    assert {run.payload.get("n_iter", 1) for run in runs} == {1}
    assert (done.status, first.status) == (Status.COMPLETED, Status.COMPLETED)
    assert first.finished_at < done.finished_at
    assert len(fake.log.runs()) == 8, "an interactive job is not cut"
    assert [place for place, _, _ in pictures_of(job)] == [0, 1, 2, 3, 4, 5]
    assert pictures_of(job) == pictures_of(whole)
    assert done.generation_info == at_once.generation_info | {
        # Drawn by the server for each run, and of no effect.
        "subseed": done.generation_info["subseed"]
    }
    assert done.attempts_made == 1
    assert no_attempt_left()
