"""A failed model load breaks the server for every job; no other job is blamed (rule 19)."""

import pytest

from dispatch.fakes.forge import FakeForge
from dispatch.models import Health, Server
from jobs.choices import Outcome, Status
from jobs.models import Attempt, Job
from tests.dispatch.lane_harness import cancel, connected, eventually, lane, queue, until_final

pytestmark = pytest.mark.django_db(transaction=True)

GOOD, OTHER, BROKEN = "good.safetensors", "other.safetensors", "broken.safetensors"


def test_the_jobs_after_a_broken_checkpoint_are_made_on_a_mended_server() -> None:
    with FakeForge(seconds=0.1, checkpoints=[GOOD, BROKEN]) as fake:
        server = connected(fake)
        fake.faults.add("broken_checkpoint", checkpoint=BROKEN)
        [first] = queue(checkpoint=GOOD)
        [broken] = queue(checkpoint=BROKEN, priority=4)  # else the good ones are grouped first
        [good] = queue(checkpoint=GOOD, params={"seed": 7})
        with lane(server, linger=0.05):
            done = until_final([first, broken, good])
    assert [job.status for job in done] == [Status.COMPLETED, Status.FAILED, Status.COMPLETED]
    assert done[1].error_code == "checkpoint_broken"
    assert done[2].attempts_made == 1
    assert Server.objects.get().poisoned_by == ""
    assert Server.objects.get().health == Health.HEALTHY


def test_a_poisoned_server_is_mended_by_another_checkpoint_before_the_next_claim() -> None:
    with FakeForge(seconds=0.1, checkpoints=[GOOD, OTHER]) as fake:
        server = connected(fake)
        fake.faults.add("poison")
        jobs = queue(2, checkpoint=GOOD)
        with lane(server, linger=0.05):
            done = until_final(jobs)
        runs = fake.log.runs()
    assert [job.status for job in done] == [Status.COMPLETED] * 2
    assert [job.attempts_made for job in done] == [1, 1], "the server's error counts for no job"
    tokens = {str(token) for token in Attempt.objects.values_list("token", flat=True)}
    mending = [run for run in runs if run.token not in tokens]
    assert [run.checkpoint for run in mending] == [OTHER]


def test_a_job_that_was_handed_over_to_a_server_that_then_broke_is_not_blamed() -> None:
    with FakeForge(seconds=0.5, checkpoints=[GOOD, OTHER, BROKEN]) as fake:
        server = connected(fake)
        [first] = queue(checkpoint=GOOD)
        [broken] = queue(checkpoint=BROKEN)
        [good] = queue(checkpoint=GOOD, params={"seed": 7})
        Job.objects.filter(pk=broken.pk).update(position=first.position + 1)
        Job.objects.filter(pk=good.pk).update(position=first.position + 2)
        fake.faults.add("broken_checkpoint", checkpoint=BROKEN, times=5)
        with lane(server, linger=0.05, prefetch_lead=60):
            done = until_final([first, broken, good])
    assert [job.status for job in done] == [Status.COMPLETED, Status.FAILED, Status.COMPLETED]
    assert done[2].attempts_made == 1


def test_a_server_that_nothing_mends_is_set_aside_and_says_so() -> None:
    with FakeForge(seconds=0.1, checkpoints=[GOOD]) as fake:
        server = connected(fake)
        fake.faults.add("poison")
        [job] = queue(checkpoint=GOOD)
        with lane(server):
            eventually(lambda: Server.objects.get().health == Health.ASIDE)
        assert "Restart" in Server.objects.get().health_text
    job.refresh_from_db()
    assert (job.status, job.attempts_made) == (Status.PENDING, 0)
    assert [a.outcome for a in job.attempts.all()] == [Outcome.ERROR]


def test_what_a_cancelled_picture_says_of_its_server_is_heard() -> None:
    with FakeForge(seconds=0.1, load_seconds=0.5, checkpoints=[GOOD, OTHER, BROKEN]) as fake:
        server = connected(fake)
        [broken] = queue(checkpoint=BROKEN)
        fake.faults.add("slow", seconds=0.6)
        fake.faults.add("broken_checkpoint", checkpoint=BROKEN)
        with lane(server) as running:
            eventually(lambda: fake.log.runs())
            cancel(broken)
            eventually(lambda: running.lane._runs and running.lane._runs[0].closed)
            eventually(lambda: Server.objects.get().poisoned_by == BROKEN)
