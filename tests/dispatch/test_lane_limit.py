"""At most MOBILESD_LANES lanes live, and an idle one gives way to a server with work."""

import pytest
from django_q.models import OrmQ

from dispatch.fakes.forge import FakeForge
from dispatch.lease import take
from dispatch.models import Server
from jobs.choices import Status
from tests.dispatch.lane_harness import connected, eventually, lane, queue, until_final
from tests.dispatch.lane_processes import Cluster

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_idle_lane_gives_way_to_a_server_with_work(settings, cluster: Cluster) -> None:
    settings.LANES = 1
    with FakeForge(seconds=0.1) as first, FakeForge(seconds=0.1) as second:
        idle = connected(first, "idle")
        busy = connected(second, "busy")
        with lane(idle, linger=30):
            eventually(lambda: Server.objects.get(alias="idle").lane_token)
            assert take(busy.pk) is None, "no place for a second lane"
            OrmQ.objects.all().delete()
            jobs = queue(target_server_alias="busy")
        # It has left long before its linger was over, and it did not leave the rest to chance.
        assert Server.objects.get(alias="idle").lane_token is None
        cluster.work_off()
        assert until_final(jobs)[0].status == Status.COMPLETED


def test_an_idle_lane_stays_when_there_is_room_for_another(settings) -> None:
    settings.LANES = 2
    with FakeForge(seconds=0.1) as first, FakeForge(seconds=0.1) as second:
        idle = connected(first, "idle")
        connected(second, "busy")
        queue(target_server_alias="busy")
        with lane(idle, linger=1) as running:
            eventually(lambda: Server.objects.get(alias="idle").lane_token)
            running.thread.join(0.6)
            assert running.thread.is_alive()


def test_a_lane_with_work_of_its_own_does_not_give_way(settings) -> None:
    settings.LANES = 1
    with FakeForge(seconds=0.2) as first, FakeForge(seconds=0.2) as second:
        ours = connected(first, "ours")
        connected(second, "theirs")
        mine = queue(3, target_server_alias="ours")
        queue(target_server_alias="theirs")
        with lane(ours, linger=30):
            assert {job.status for job in until_final(mine)} == {Status.COMPLETED}
        assert second.log.runs() == []
