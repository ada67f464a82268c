"""Too little GPU memory: a tiled VAE, then smaller batches, then a bigger server, then the end."""

import pytest

from dispatch.dispatchers.forge import inventory as listing
from dispatch.fakes.forge import FakeForge
from dispatch.models import Server
from gallery.models import Image
from jobs import again
from jobs.choices import Status
from jobs.models import Attempt, Job
from tests.dispatch.lane_harness import connected, lane, queue, until_final

pytestmark = pytest.mark.django_db(transaction=True)

PICTURE = 64 * 64


def asked(fake):
    """Return batch size, rounds and whether the script was there, for each run."""
    sent = [run.payload for run in fake.log.runs()]
    return [
        (body["batch_size"], body.get("n_iter", 1), "alwayson_scripts" in body) for body in sent
    ]


def test_it_goes_down_the_ladder_to_the_same_pictures() -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        [reference] = queue(params={"batch_size": 6, "n_iter": 2})
        with lane(server, linger=0.05):
            until_final([reference])
        fake.log.clear()
        fake.faults.add("oom", times=99, over_pixels=2 * PICTURE, relief=1.6)
        [job] = queue(params={"batch_size": 6, "n_iter": 2})
        with lane(server, linger=0.05):
            [done] = until_final([job])
        assert asked(fake) == [(6, 2, False), (6, 2, True), (3, 4, True)]
    assert (done.status, done.memory_step) == (Status.COMPLETED, 2)
    seeds = [
        list(Image.objects.filter(job=each).order_by("index").values_list("seed", flat=True))
        for each in (reference, job)
    ]
    assert seeds[0] == seeds[1] == [str(100 + number) for number in range(12)]
    last = done.attempts.order_by("-number")[0]
    assert ["tiled VAE" in last.measures[0], "3 instead of 6" in last.measures[1]] == [True, True]
    assert done.warnings[-2:] == last.measures
    assert Image.objects.filter(job=job)[0].warnings == last.measures
    assert done.generation_params["batch_size"] == 6, "what was asked for stays"


def test_odd_batches_keep_their_number_and_halving_goes_on_to_single_pictures() -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        fake.faults.add("oom", times=99, over_pixels=PICTURE)
        jobs = queue(params={"batch_size": 5}) + queue(params={"batch_size": 4})
        with lane(server, linger=0.05):
            done = until_final(jobs)
        assert [row[:2] for row in asked(fake) if row[0] * row[1] == 5][-1] == (1, 5)
        assert [row[:2] for row in asked(fake) if row[0] * row[1] == 4][-1] == (1, 4)
    assert [job.status for job in done] == [Status.COMPLETED] * 2
    assert [Image.objects.filter(job=job).count() for job in done] == [5, 4]


def test_at_the_end_of_the_ladder_it_fails_and_says_what_was_tried() -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        fake.faults.add("oom", times=99)
        [job] = queue(params={"batch_size": 2})
        with lane(server, linger=0.05):
            [done] = until_final([job])
        assert len(fake.log.runs()) == 3
        row = Server.objects.get()
    assert (done.status, done.error_code) == (Status.FAILED, "out_of_memory")
    assert "tried with less memory" in done.error_message
    assert done.error_hint
    assert (row.health, row.failures_in_row) == ("healthy", 0), "the server is not to blame"


def test_a_bigger_server_takes_what_does_not_fit_and_a_smaller_one_does_not() -> None:
    with FakeForge(seconds=0.1) as small, FakeForge(seconds=0.1) as tiny, FakeForge() as big:
        here = connected(small, "here")
        there = connected(tiny, "there")
        large = connected(big, "large")
        for server, vram in ((here, 8000), (there, 8000), (large, 24000)):
            Server.objects.filter(pk=server.pk).update(vram_total_mb=vram)
        Server.objects.exclude(pk=here.pk).update(paused=True)
        small.faults.add("oom", times=99)
        [job] = queue()
        with lane(here, linger=0.05):
            pass
        job.refresh_from_db()
        assert job.status == Status.PENDING
        assert sorted(job.avoid_servers) == ["here", "there"]
        Server.objects.update(paused=False)
        with lane(there, linger=0.05):
            pass
        assert not tiny.log.runs()
        with lane(large, linger=0.05):
            [done] = until_final([job])
    assert (done.status, done.server_alias) == (Status.COMPLETED, "large")


def test_only_smaller_servers_do_not_help() -> None:
    with FakeForge(seconds=0.1) as fake, FakeForge() as other:
        here, there = connected(fake, "here"), connected(other, "there")
        Server.objects.filter(pk=here.pk).update(vram_total_mb=8000)
        Server.objects.filter(pk=there.pk).update(vram_total_mb=6000)
        fake.faults.add("oom", times=99)
        [job] = queue()
        with lane(here, linger=0.05):
            [done] = until_final([job])
    assert done.status == Status.FAILED


def test_a_job_for_one_server_goes_to_no_other() -> None:
    with FakeForge(seconds=0.1) as fake, FakeForge() as other:
        here = connected(fake, "here")
        connected(other, "there")
        fake.faults.add("oom", times=99)
        [job] = queue(target_server_alias="here")
        with lane(here, linger=0.05):
            [done] = until_final([job])
    assert done.status == Status.FAILED


@pytest.mark.parametrize(
    "params",
    [
        {"script_name": "x/y/z plot"},
        {"init_images": ["a", "b"]},
    ],
)
def test_a_batch_stays_whole_where_its_places_mean_something(params) -> None:
    from dispatch.dispatchers.forge import ForgeDispatcher

    wanted = {"batch_size": 4, **params}
    assert ForgeDispatcher.relieve(wanted, 2, None) is None
    assert ForgeDispatcher.relieve({"batch_size": 4}, 2, None) is not None


def test_a_server_without_the_script_begins_with_the_batch(monkeypatch) -> None:
    monkeypatch.setattr(listing, "_scripts", lambda lists: ["refiner"])
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        fake.faults.add("oom", times=99, over_pixels=PICTURE)
        [job] = queue(params={"batch_size": 2})
        with lane(server, linger=0.05):
            [done] = until_final([job])
        assert asked(fake)[1:] == [(1, 2, False)]
    assert done.status == Status.COMPLETED


def test_a_retry_begins_at_the_top_again() -> None:
    from django.db import transaction

    [job] = queue()
    Job.objects.filter(pk=job.pk).update(status=Status.FAILED, memory_step=2)
    with transaction.atomic():
        assert again.retry(job.pk)
    job.refresh_from_db()
    assert job.memory_step == 0
    assert not Attempt.objects.exists()
