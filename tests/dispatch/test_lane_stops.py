"""A lane ends when its start does: at once and leaving its work, or after it (design §2)."""

import pytest
from django_q.models import OrmQ

from dispatch.fakes.forge import FakeForge
from dispatch.lanes import lane as lane_module
from dispatch.models import Server
from dispatch.stopping import drain_file, stop_file
from dispatch.tasks import run_lane
from jobs.choices import Outcome, Status
from jobs.models import Attempt
from tests.dispatch.lane_harness import (
    connected,
    eventually,
    failing,
    lane,
    queue,
    samples,
    until_final,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def boot(settings) -> str:
    settings.BOOT_ID = "this-start"
    return settings.BOOT_ID


def test_a_quick_stop_leaves_the_picture_to_the_next_lane(boot: str) -> None:
    with FakeForge(seconds=1.2) as fake:
        server = connected(fake)
        [job] = queue()
        with lane(server) as running:
            eventually(lambda: samples(fake))
            stop_file(boot).touch()
            running.join()
            assert fake.log.runs()[0].ended_at is None, "it did not wait for the picture"
        assert Server.objects.get().lane_token is None
        assert Attempt.objects.get().ended_at is None
        assert run_lane(server.pk) == "stopping"
        stop_file(boot).unlink()
        with lane(server):
            assert until_final([job])[0].status == Status.COMPLETED
        first, second = fake.log.runs()
    assert second.arrived_at > first.ended_at
    assert [a.outcome for a in job.attempts.order_by("number")] == [
        Outcome.LOST,
        Outcome.COMPLETED,
    ]


def test_a_quick_stop_is_heard_while_the_database_fails(
    boot: str, monkeypatch: pytest.MonkeyPatch
) -> None:

    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        failing(monkeypatch, lane_module, "adopt_all", times=10**9)
        with lane(server, breath=0.05):
            stop_file(boot).touch()


def test_a_drain_finishes_what_was_sent_and_begins_nothing_new(boot: str) -> None:
    with FakeForge(seconds=0.5) as fake:
        server = connected(fake)
        running, waiting = queue(2)
        OrmQ.objects.all().delete()
        with lane(server, linger=30, prefetch_lead=0):
            eventually(lambda: samples(fake))
            drain_file(boot).touch()
            assert until_final([running])[0].status == Status.COMPLETED
        assert len(fake.log.runs()) == 1
    waiting.refresh_from_db()
    assert waiting.status == Status.PENDING
    assert Server.objects.get().lane_token is None
    assert not OrmQ.objects.exists(), "no successor that would leave at once"


def test_the_flag_of_an_earlier_start_stops_nobody(boot: str) -> None:
    stop_file("an-earlier-start").touch()
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        [job] = queue()
        with lane(server, linger=0.05):
            assert until_final([job])[0].status == Status.COMPLETED
