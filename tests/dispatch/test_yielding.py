"""A server takes no new job while somebody else needs its GPU, and comes back by itself."""

import threading

import pytest
import requests
from django_q.models import OrmQ

from dispatch import health, services, yielding
from dispatch.dispatchers.base import Memory
from dispatch.fakes.forge import FakeForge
from dispatch.models import Server
from dispatch.sweep import Sweep
from jobs.choices import Status
from jobs.models import Event
from tests.dispatch.lane_harness import connected, eventually, lane, queue, until_final

pytestmark = pytest.mark.django_db(transaction=True)

GB = 1024**3


@pytest.mark.parametrize(
    ("below", "memory", "foreign", "yields"),
    [
        (4000, None, "", False),
        (4000, Memory(3000, 8000), "", True),
        (4000, Memory(3000, 8000, own_mb=2000), "", False),
        (0, Memory(0, 8000), "", False),
        (0, None, "Somebody else makes a picture there.", True),
    ],
)
def test_what_makes_it_give_way(below, memory, foreign, yields) -> None:
    assert bool(yielding.reason_to_yield(below, memory, foreign)) == yields


def test_it_waits_until_a_game_gives_the_memory_back() -> None:
    with FakeForge(seconds=0.1) as fake:
        fake.engine.gpu_bytes = (1 * GB, 24 * GB, 0)
        server = connected(fake, yield_below_mb=8000)
        assert (server.vram_total_mb, server.vram_free_mb) == (24 * 1024, 1024)
        [job] = queue()
        with lane(server, yield_look=0.1, linger=20) as running:
            eventually(lambda: Server.objects.get().yields_since)
            job.refresh_from_db()
            assert (job.status, fake.log.runs()) == (Status.PENDING, [])
            assert "1024 MB are left" in Server.objects.get().yield_text
            fake.engine.gpu_bytes = (20 * GB, 24 * GB, 0)
            [done] = until_final([job])
            running.lane._pace = running.lane._pace.__class__(linger=0.0)
    assert done.status == Status.COMPLETED
    assert Server.objects.get().yields_since is None


def test_it_gives_way_to_a_person_after_the_picture_that_is_being_made() -> None:
    with FakeForge(seconds=1.5) as fake:
        server = connected(fake, yield_below_mb=0)
        ours, next_one = queue(2)
        url = f"{fake.url}/sdapi/v1/txt2img"
        theirs = {"prompt": "theirs", "steps": 20, "width": 64, "height": 64}
        with lane(server, yield_look=0.1, linger=10, prefetch_lead=60):
            eventually(lambda: fake.engine.state.sampling_step)
            person = threading.Thread(target=requests.post, args=(url,), kwargs={"json": theirs})
            person.start()
            # Between two runs the backend looks idle for a moment, so ours may be sent behind
            # theirs; before it never.
            [_, done] = until_final([ours, next_one])
            order = sorted(fake.log.runs(), key=lambda run: run.started_at)
            assert order[1].payload["prompt"] == "theirs"
            person.join()
    assert done.status == Status.COMPLETED


def test_it_does_not_give_way_to_itself() -> None:
    with FakeForge(seconds=0.3) as fake:
        server = connected(fake, yield_below_mb=0)
        seen = Event.objects.filter(kind="server.status").count()
        with lane(server, linger=0.1, prefetch_lead=60, yield_look=0.1):
            until_final(queue(3))
    assert Event.objects.filter(kind="server.status").count() == seen


def test_one_that_nobody_asked_to_yield_does_not() -> None:
    with FakeForge(seconds=0.1) as fake:
        fake.engine.gpu_bytes = (0, 24 * GB, 0)
        server = connected(fake)
        with lane(server, linger=0.05):
            [done] = until_final(queue())
    assert done.status == Status.COMPLETED


def test_without_a_lane_the_probe_finds_both_the_beginning_and_the_end() -> None:
    with FakeForge(seconds=0.1) as fake:
        fake.engine.gpu_bytes = (1 * GB, 24 * GB, 0)
        server = connected(fake, yield_below_mb=8000)
        assert server.yields_since is not None
        queue()
        OrmQ.objects.all().delete()
        Sweep().run()
        assert not [row for row in OrmQ.objects.all() if "run_lane" in row.task["func"]]
        assert Event.objects.filter(kind="server.status").exists()
        fake.engine.gpu_bytes = (20 * GB, 24 * GB, 0)
        health.check(server)
        assert Server.objects.get().yields_since is None
        Sweep().run()
        assert [row for row in OrmQ.objects.all() if "run_lane" in row.task["func"]]


def test_switching_it_off_ends_it_at_once() -> None:
    with FakeForge() as fake:
        fake.engine.gpu_bytes = (1 * GB, 24 * GB, 0)
        server = connected(fake, yield_below_mb=8000)
        services.edit_server(server.alias, {"yield_below_mb": -1})
    row = Server.objects.get()
    assert (row.yield_below_mb, row.yields_since, row.yield_text) == (None, None, "")


@pytest.mark.parametrize(
    "cuda",
    [
        None,
        {"error": "unavailable"},
        {"system": None},
        {"system": {"free": "many", "total": 1}},
        {"system": {"free": -1, "total": 5}},
        {"system": {"free": True, "total": 5}},
        {"system": {"free": float("inf"), "total": 5}},
    ],
)
def test_what_cannot_be_read_is_unknown(cuda) -> None:
    from dispatch.dispatchers.forge.less_memory import read

    assert read({"cuda": cuda}) is None
    assert read([cuda]) is None
