"""Two clusters on one database never run one job twice; without the guards they do."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatch.fakes.forge import FakeForge
from dispatch.models import Server
from gallery.models import Image
from jobs.choices import Status
from jobs.models import Attempt, Job
from tests.dispatch import unguarded
from tests.dispatch.lane_harness import (
    connected,
    eventually,
    most_at_once,
    no_attempt_left,
    queue,
    until_final,
)
from tests.dispatch.lane_processes import Cluster

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def second_cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "lanes.log") as cluster:
        yield cluster


def test_two_clusters_never_run_one_job_twice(cluster: Cluster, second_cluster: Cluster) -> None:
    with FakeForge(seconds=0.05) as fake, FakeForge(seconds=0.05) as other:
        servers = [connected(fake, "a"), connected(other, "b")]
        jobs = queue(16)
        # Each cluster kicks both servers, again and again, as doubled and late kicks would.
        for _ in range(6):
            for server in servers:
                cluster.start(server, linger=0.02)
                second_cluster.start(server, linger=0.02)
        done = until_final(jobs)
        eventually(no_attempt_left)
        runs = [*fake.log.runs(), *other.log.runs()]
        assert most_at_once(fake.log.runs()) <= 2
        assert most_at_once(other.log.runs()) <= 2
    assert {job.status for job in done} == {Status.COMPLETED}
    seeds = Counter(run.payload["seed"] for run in runs)
    assert set(seeds.values()) == {1}
    assert Image.objects.count() == Attempt.objects.count() == len(jobs)


def test_control_two_clusters_without_guards_run_jobs_twice(
    cluster: Cluster, second_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "unguarded", True)
    monkeypatch.setattr(second_cluster, "unguarded", True)
    unguarded.drop_constraint()
    try:
        with FakeForge(seconds=0.05) as fake:
            server = connected(fake)
            queue(12)

            def twice() -> bool:
                seeds = Counter(run.payload["seed"] for run in fake.log.runs())
                return max(seeds.values(), default=0) > 1

            def raced() -> bool:
                # Both see the lease free, and the head of the queue pending.
                Server.objects.update(lane_token=None)
                lanes = [cluster.start(server), second_cluster.start(server)]
                eventually(lambda: twice() or not any(lane.alive for lane in lanes))
                return twice()

            eventually(raced)
    finally:
        for lane in (*cluster.lanes, *second_cluster.lanes):
            lane.kill()
        Image.objects.all().delete()
        Job.objects.all().delete()
        unguarded.restore_constraint()
