"""Rounds of a background job at a server with our companion: fetched as what was sent."""

from pathlib import Path

import pytest

from dispatch.fakes.forge import FakeForge
from gallery.models import Image
from jobs.choices import Outcome, Status
from jobs.models import Attempt, Job
from tests.dispatch.lane_harness import connected, eventually, queue, samples, until_final
from tests.dispatch.lane_processes import Cluster

pytestmark = pytest.mark.django_db(transaction=True)


def several(lane_class: str) -> Job:
    """Queue a job of three pictures."""
    params = {"n_iter": 3, "seed": 500}
    [job] = queue(params=params, images_wanted=3, lane_class=lane_class)
    return job


def sent(fake: FakeForge) -> list[tuple[int, int]]:
    """Return the seed and the number of pictures of each run."""
    return [(run.payload["seed"], run.payload.get("n_iter", 1)) for run in fake.log.runs()]


@pytest.mark.parametrize(
    ("before", "after", "runs"),
    [
        ("background", "background", [(500, 1), (501, 1), (502, 1)]),
        ("background", "interactive", [(500, 1), (501, 2)]),
        ("interactive", "background", [(500, 3)]),
    ],
)
def test_what_was_sent_is_fetched_whole_though_the_job_is_in_another_lane_now(
    cluster: Cluster, tmp_path: Path, before: str, after: str, runs: list[tuple[int, int]]
) -> None:
    with FakeForge(seconds=0.5, companion=tmp_path / "companion") as fake:
        server = connected(fake)
        job = several(before)
        dead = cluster.start(server)
        eventually(lambda: samples(fake))
        dead.kill()
        Job.objects.filter(pk=job.pk).update(lane_class=after)
        cluster.start(server)
        assert until_final([job])[0].status == Status.COMPLETED
        assert sent(fake) == runs
    seeds = Image.objects.filter(job=job).order_by("index").values_list("index", "seed")
    assert list(seeds) == [(0, "500"), (1, "501"), (2, "502")]
    ends = Attempt.objects.order_by("number").values_list("outcome", flat=True)
    assert list(ends) == [Outcome.ROUND] * (len(runs) - 1) + [Outcome.COMPLETED]
