"""After LANE_SECONDS a lane makes way for its successor, but never in the middle of a picture."""

import pytest
from django_q.models import OrmQ

from dispatch.fakes.forge import FakeForge
from dispatch.models import Server
from jobs.choices import Outcome, Status
from jobs.models import Attempt
from tests.dispatch.lane_harness import connected, lane, queue, until_final

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_job_of_three_budgets_is_made_in_one_attempt_and_then_a_successor_starts() -> None:
    with FakeForge(seconds=1.5) as fake:
        server = connected(fake)
        long, following = queue(2)
        OrmQ.objects.all().delete()
        with lane(server, budget=0.5, prefetch_lead=0.3):
            [done] = until_final([long])
        assert len(fake.log.runs()) == 1, "no hand-over past the end of the budget"
    assert done.status == Status.COMPLETED
    assert [a.outcome for a in Attempt.objects.all()] == [Outcome.COMPLETED]
    following.refresh_from_db()
    assert following.status == Status.PENDING
    assert Server.objects.get().lane_token is None
    [kick] = OrmQ.objects.all()
    assert kick.task["func"] == "dispatch.tasks.run_lane"
    assert kick.task["args"] == (server.pk,)
