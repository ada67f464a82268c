"""A server is paused, switched off, moved or removed while its lane lives."""

import pytest
from django.db import transaction

from dispatch import wake
from dispatch.fakes.forge import FakeForge
from dispatch.models import Server
from jobs.choices import Status
from jobs.models import Attempt
from tests.dispatch.lane_harness import connected, eventually, lane, queue, samples, until_final

pytestmark = pytest.mark.django_db(transaction=True)


def change(server: Server, **values: object) -> None:
    with transaction.atomic():
        Server.objects.filter(pk=server.pk).update(**values)
        wake.bump(pk=server.pk)


@pytest.mark.parametrize("values", [{"paused": True}, {"enabled": False}])
def test_the_running_picture_is_finished_and_nothing_new_begins(values: dict[str, bool]) -> None:
    with FakeForge(seconds=0.4) as fake:
        server = connected(fake)
        running, waiting = queue(2)
        with lane(server, linger=30, prefetch_lead=0):
            eventually(lambda: samples(fake))
            change(server, **values)
            assert until_final([running])[0].status == Status.COMPLETED
        # The lane has left: one that may do nothing does not linger.
        assert len(fake.log.runs()) == 1
    waiting.refresh_from_db()
    assert waiting.status == Status.PENDING
    assert Server.objects.get().lane_token is None


def test_a_pause_that_comes_just_before_the_claim_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    from dispatch.lanes.claims import Claimer

    original = Claimer.start

    def start(self, *args):
        change(server, paused=True)
        return original(self, *args)

    monkeypatch.setattr(Claimer, "start", start)
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        [job] = queue()
        with lane(server):
            pass
    job.refresh_from_db()
    assert job.status == Status.PENDING
    assert not Attempt.objects.exists()


def test_a_lane_whose_server_is_deleted_ends() -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        with lane(server, linger=30) as running:
            eventually(lambda: running.lane and Server.objects.get().lane_token)
            Server.objects.all().delete()


def test_the_next_job_goes_to_the_new_address_once_the_old_one_is_done() -> None:
    with FakeForge(seconds=0.5) as old, FakeForge(seconds=0.1) as new:
        server = connected(old)
        jobs = queue(2)
        with lane(server, linger=0.05, prefetch_lead=0.2):
            eventually(lambda: samples(old))
            change(server, url=new.url)
            done = until_final(jobs)
        assert [len(fake.log.runs()) for fake in (old, new)] == [1, 1]
        assert new.log.runs()[0].arrived_at > old.log.runs()[0].ended_at
    assert [job.status for job in done] == [Status.COMPLETED] * 2


def test_an_address_that_changes_just_before_the_claim_is_not_mixed_with_the_old_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A job at one address that is followed at another would look stalled, or be interrupted."""
    from dispatch.lanes.claims import Claimer

    original = Claimer.start
    with FakeForge(seconds=0.1) as old, FakeForge(seconds=0.6) as new:

        def start(self, *args):
            if server.url != new.url:
                server.url = new.url
                change(server, url=new.url)
            return original(self, *args)

        monkeypatch.setattr(Claimer, "start", start)
        server = connected(old)
        jobs = queue(1)
        with lane(server, linger=0.05) as running:
            eventually(lambda: samples(new))
            assert running.lane._address == server.address, "it looks where it has sent the job"
            done = until_final(jobs)
        assert [len(fake.log.runs()) for fake in (old, new)] == [0, 1]
    assert done[0].status == Status.COMPLETED
