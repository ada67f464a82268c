"""A lane's process dies or freezes at each step, and the next one sets it right."""

import pytest

from dispatch.fakes.forge import FakeForge
from gallery.models import Image
from jobs.choices import Outcome, Status
from tests.dispatch.lane_harness import connected, eventually, no_attempt_left, queue, until_final
from tests.dispatch.lane_processes import Cluster

pytestmark = pytest.mark.django_db(transaction=True)

_CLAIM = "jobs.transitions.claim"
_MARK = "jobs.transitions.mark_submitted"
_SEND = "dispatch.lanes.run.Run.send"
_STORE = "dispatch.lanes.store.complete"


@pytest.mark.parametrize(
    ("step", "posts", "outcomes"),
    [
        (_CLAIM, 1, [Outcome.COMPLETED]),
        (_MARK, 1, [Outcome.LOST, Outcome.COMPLETED]),
        (_SEND, 1, [Outcome.LOST, Outcome.COMPLETED]),
        (_STORE, 2, [Outcome.LOST, Outcome.COMPLETED]),
    ],
)
def test_a_crash_at_any_step_costs_one_run_at_most(
    cluster: Cluster, step: str, posts: int, outcomes: list[str]
) -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        [job] = queue()
        cluster.start(server, halt_at=step).join()
        cluster.start(server)
        [done] = until_final([job])
        assert done.status == Status.COMPLETED
        assert len(fake.log.runs()) == posts
    assert [a.outcome for a in job.attempts.order_by("number")] == outcomes
    assert Image.objects.filter(job=job).count() == 1
    assert done.attempts_made == 1, "our own crash counts as no attempt"
    eventually(no_attempt_left)


def test_what_was_never_sent_is_queued_again_at_once(cluster: Cluster) -> None:
    """There is nothing to look up and nobody to wait for (protocol rule 8)."""
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        [job] = queue()
        cluster.start(server, halt_at=_MARK).join()
        cluster.start(server, grace=60, gone_gap=60)
        [done] = until_final([job])
    assert done.status == Status.COMPLETED


def test_a_job_that_was_being_stored_is_stored_whole_or_not_at_all(cluster: Cluster) -> None:
    """Killed inside the storing transaction: no completed job without pictures, and no pictures
    of a job that is not completed."""
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        [job] = queue(params={"n_iter": 2}, images_wanted=2)
        cluster.start(server, halt_at="dispatch.lanes.store._insert").join()
        job.refresh_from_db()
        assert job.status == Status.PROCESSING
        assert not Image.objects.exists()
        cluster.start(server)
        assert until_final([job])[0].status == Status.COMPLETED
    assert Image.objects.filter(job=job).count() == 2
