"""A request whose answer is lost may have been taken: it is waited out (protocol rules 7 and 9)."""

import pytest

from dispatch.fakes.forge import FakeForge
from jobs.choices import Outcome, Status
from tests.dispatch.lane_harness import connected, eventually, lane, queue, samples, until_final

pytestmark = pytest.mark.django_db(transaction=True)


def test_after_a_broken_connection_the_run_is_waited_out_and_made_once_more() -> None:
    with FakeForge(seconds=0.6) as fake:
        server = connected(fake)
        [job] = queue()
        with lane(server) as running:
            eventually(lambda: samples(fake))
            running.lane._runs[0].abandon()
            [done] = until_final([job])
        first, second = fake.log.runs()
    assert done.status == Status.COMPLETED
    assert second.arrived_at > first.ended_at
    assert first.token != second.token
    assert [a.outcome for a in job.attempts.order_by("number")] == [
        Outcome.BACKEND_DIED,
        Outcome.COMPLETED,
    ]
    assert done.attempts_made == 1, "a lost connection is no answer, and not the job's fault"


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "half_closed"])
def test_a_lost_answer_is_not_asked_for_a_second_time_with_the_same_token(fault: str) -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        fake.faults.add(fault)
        [job] = queue()
        with lane(server):
            [done] = until_final([job])
        tokens = [run.token for run in fake.log.runs()]
    assert done.status == Status.COMPLETED
    assert len(tokens) == len(set(tokens)) == 2


@pytest.mark.parametrize("fault", ["html", "garbage_json"])
def test_an_answer_that_cannot_be_read_counts_as_an_attempt(fault: str) -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        fake.faults.add(fault, times=9)
        [job] = queue(max_attempts=1)
        with lane(server):
            [done] = until_final([job])
    assert (done.status, done.error_code) == (Status.FAILED, "bad_answer")
    assert len(fake.log.runs()) == 1


def test_the_next_job_is_not_sent_while_a_lost_one_may_still_run() -> None:
    with FakeForge(seconds=0.6) as fake:
        server = connected(fake)
        jobs = queue(2)
        with lane(server, prefetch_lead=0) as running:
            eventually(lambda: samples(fake))
            running.lane._runs[0].abandon()
            until_final(jobs)
        runs = fake.log.runs()
    assert all(run.arrived_at > runs[0].ended_at for run in runs[1:])
