"""With our companion at a server, no fault of ours costs a run, and a cancel hits its own job."""

import base64
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from dispatch.fakes.forge import FakeForge
from dispatch.models import Timing
from gallery.models import Image
from jobs.choices import Kind, Outcome, Status
from jobs.models import Attempt
from tests import factories
from tests.dispatch.lane_harness import (
    cancel,
    connected,
    eventually,
    lane,
    no_attempt_left,
    queue,
    samples,
    until_final,
)
from tests.dispatch.lane_processes import Cluster

pytestmark = pytest.mark.django_db(transaction=True)

_STORE = "dispatch.lanes.store.complete"
_RESULT = "/mobilesd/v1/jobs/*/result"
THEIRS = {"prompt": "theirs", "steps": 4, "width": 64, "height": 64}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the companion keeps its data; it outlives a fake."""
    return tmp_path / "companion"


def states(folder: Path) -> set[str]:
    """Return the states of all attempts that lie on the companion's disk."""
    files = folder.glob("companion-*/*.job")
    heads = [file.read_text(errors="replace").partition("\n")[0] for file in files]
    return {requests.models.complexjson.loads(head)["state"] for head in heads}


def foreign_run(fake: FakeForge) -> threading.Thread:
    """Let somebody else order a picture there."""
    url = f"{fake.url}/sdapi/v1/txt2img"
    thread = threading.Thread(target=requests.post, args=(url,), kwargs={"json": THEIRS})
    thread.start()
    return thread


def test_a_picture_is_made_through_it_and_then_forgotten_there(folder: Path) -> None:
    with FakeForge(seconds=0.1, companion=folder) as fake:
        server = connected(fake)
        jobs = queue(2)
        with lane(server):
            assert {job.status for job in until_final(jobs)} == {Status.COMPLETED}
        tokens = {run.token for run in fake.log.runs()}
        assert states(folder) == {"closed"}
    assert tokens == {str(token) for token in Attempt.objects.values_list("token", flat=True)}
    assert Image.objects.count() == 2


# --- our own death ---------------------------------------------------------------------------


def test_a_lane_that_is_killed_in_the_middle_of_a_picture_costs_no_run(
    cluster: Cluster, folder: Path
) -> None:
    with FakeForge(seconds=0.6, companion=folder) as fake:
        server = connected(fake)
        [job] = queue()
        dead = cluster.start(server)
        eventually(lambda: samples(fake))
        dead.kill()
        cluster.start(server)
        assert until_final([job])[0].status == Status.COMPLETED
        assert len(fake.log.runs()) == 1
    assert [a.outcome for a in job.attempts.all()] == [Outcome.COMPLETED]
    assert Image.objects.filter(job=job).count() == 1


def test_nor_does_it_with_another_one_handed_over(cluster: Cluster, folder: Path) -> None:
    with FakeForge(seconds=0.8, companion=folder) as fake:
        server = connected(fake)
        jobs = queue(2)
        dead = cluster.start(server, prefetch_lead=60)
        eventually(lambda: Attempt.objects.filter(submitted_at__isnull=False).count() == 2)
        eventually(lambda: len(list(folder.glob("companion-*/*.job"))) == 2)
        dead.kill()
        cluster.start(server)
        assert {job.status for job in until_final(jobs)} == {Status.COMPLETED}
        assert len(fake.log.runs()) == 2
    assert Attempt.objects.count() == 2


def test_a_picture_that_was_finished_while_nobody_was_there_is_fetched(
    cluster: Cluster, folder: Path
) -> None:
    with FakeForge(seconds=0.3, companion=folder) as fake:
        server = connected(fake)
        [job] = queue()
        dead = cluster.start(server)
        eventually(lambda: samples(fake))
        dead.kill()
        eventually(lambda: states(folder) == {"done"})
        cluster.start(server)
        assert until_final([job])[0].status == Status.COMPLETED
        assert len(fake.log.runs()) == 1


def test_a_crash_before_the_picture_is_stored_costs_no_run(cluster: Cluster, folder: Path) -> None:
    with FakeForge(seconds=0.1, companion=folder) as fake:
        server = connected(fake)
        [job] = queue()
        cluster.start(server, halt_at=_STORE).join()
        cluster.start(server)
        assert until_final([job])[0].status == Status.COMPLETED
        assert len(fake.log.runs()) == 1
        eventually(no_attempt_left)
    assert Image.objects.filter(job=job).count() == 1


def test_an_answer_that_ends_us_again_and_again_is_not_fetched_for_ever(
    cluster: Cluster, folder: Path
) -> None:
    """The server would make nothing else."""
    with FakeForge(seconds=0.1, companion=folder) as fake:
        server = connected(fake)
        [fatal] = queue()
        for _ in range(6):
            cluster.start(server, halt_at=_STORE).join()
        assert len(fake.log.runs()) == 1, "until then it is fetched"
        [following] = queue()
        cluster.start(server)
        assert {job.status for job in until_final([fatal, following])} == {Status.COMPLETED}
        assert len(fake.log.runs()) == 3
        eventually(no_attempt_left)
    ends = fatal.attempts.order_by("number").values_list("outcome", flat=True)
    assert list(ends) == [Outcome.LOST, Outcome.COMPLETED]


def test_an_upscale_survives_it_too(cluster: Cluster, folder: Path) -> None:
    picture = base64.b64encode(factories.png(32, 32)).decode()
    params = {"init_images": [picture], "upscaler": "Lanczos", "upscale_by": 2}
    with FakeForge(seconds=0.8, companion=folder) as fake:
        server = connected(fake)
        job = factories.job(kind=Kind.UPSCALE, generation_params=params)
        dead = cluster.start(server)
        eventually(lambda: fake.engine.state.job == "Upscale")
        dead.kill()
        cluster.start(server)
        assert until_final([job])[0].status == Status.COMPLETED
        assert len(fake.log.runs()) == 1


def test_what_was_cancelled_while_no_lane_lived_is_stopped_by_the_next(
    cluster: Cluster, folder: Path
) -> None:
    with FakeForge(seconds=6, companion=folder) as fake:
        server = connected(fake)
        [job] = queue(params={"steps": 60})
        dead = cluster.start(server)
        eventually(lambda: samples(fake))
        dead.kill()
        cancel(job)
        cluster.start(server)
        eventually(no_attempt_left, 4)
        [run] = fake.log.runs()
    assert run.interrupted
    assert not Image.objects.exists()


# --- the server's death, and the network's ---------------------------------------------------


def test_a_server_that_dies_in_the_middle_says_so_and_the_picture_is_made_again(
    folder: Path,
) -> None:
    with FakeForge(seconds=0.6, companion=folder) as fake:
        server = connected(fake)
        [job] = queue()
        with lane(server, linger=3):
            eventually(lambda: samples(fake))
            fake.stop()
            with FakeForge(fake.port, seconds=0.1, log=fake.log, companion=folder) as again:
                [done] = until_final([job])
                assert len(again.log.runs()) == 2
    assert done.status == Status.COMPLETED
    assert [a.outcome for a in job.attempts.order_by("number")] == [
        Outcome.BACKEND_DIED,
        Outcome.COMPLETED,
    ]


def test_a_picture_survives_the_restart_of_both(cluster: Cluster, folder: Path) -> None:
    with FakeForge(seconds=0.3, companion=folder) as fake:
        server = connected(fake)
        [job] = queue()
        dead = cluster.start(server)
        eventually(lambda: samples(fake))
        dead.kill()
        eventually(lambda: states(folder) == {"done"})
    cluster.start(server, patience=20)  # nothing listens there yet
    with FakeForge(fake.port, seconds=0.1, log=fake.log, companion=folder):
        assert until_final([job])[0].status == Status.COMPLETED
    assert len(fake.log.runs()) == 1


def test_broken_connections_are_made_anew_and_cost_no_run(folder: Path) -> None:
    with FakeForge(seconds=0.8, companion=folder) as fake:
        server = connected(fake)
        [job] = queue()
        with lane(server):
            eventually(lambda: samples(fake))
            for connection in list(fake._connections):
                connection.shutdown(socket.SHUT_RDWR)
            assert until_final([job])[0].status == Status.COMPLETED
        assert len(fake.log.runs()) == 1


@pytest.mark.parametrize("fault", ["drop_after", "half_closed"])
@pytest.mark.parametrize("path", ["/mobilesd/v1/jobs", "/mobilesd/v1/jobs/*"])
def test_a_lost_answer_is_asked_for_again(folder: Path, fault: str, path: str) -> None:
    with FakeForge(seconds=0.2, companion=folder) as fake:
        server = connected(fake)
        fake.faults.add(fault, path=path, times=2)
        [job] = queue()
        with lane(server):
            assert until_final([job])[0].status == Status.COMPLETED
        assert len(fake.log.runs()) == 1


def test_an_answer_that_was_damaged_on_its_way_is_fetched_once_more(folder: Path) -> None:
    with FakeForge(seconds=0.1, companion=folder) as fake:
        server = connected(fake)
        fake.faults.add("garbage_json", path=_RESULT, times=1)
        [job] = queue(max_attempts=1)
        with lane(server):
            assert until_final([job])[0].status == Status.COMPLETED
        assert len(fake.log.runs()) == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"kind": "garbage_json"}, "bad_answer"),
        ({"kind": "huge_answer", "size": 10**9}, "answer_too_large"),
    ],
)
def test_an_answer_that_stays_unreadable_is_given_up_and_the_next_job_is_made(
    folder: Path, fault: dict[str, Any], code: str
) -> None:
    """It would block the server for ever."""
    with FakeForge(seconds=0.1, companion=folder) as fake:
        server = connected(fake)
        fake.faults.add(path=_RESULT, times=1000, **fault)
        bad = queue(max_attempts=1)
        with lane(server):
            [failed] = until_final(bad)
            fake.faults.clear()
            following = queue()
            assert until_final(following)[0].status == Status.COMPLETED
        assert len(fake.log.runs()) == 2
    assert (failed.status, failed.error_code) == (Status.FAILED, code)
    assert no_attempt_left()


def test_so_is_one_whose_file_is_gone_there(cluster: Cluster, folder: Path) -> None:
    with FakeForge(seconds=0.3, companion=folder) as fake:
        server = connected(fake)
        [job] = queue(max_attempts=1)
        dead = cluster.start(server)
        eventually(lambda: samples(fake))
        dead.kill()
        eventually(lambda: states(folder) == {"done"})
        for file in folder.glob("companion-*/*.job"):
            file.unlink()
        cluster.start(server)
        [failed] = until_final([job])
        eventually(no_attempt_left)
    assert (failed.status, failed.error_code) == (Status.FAILED, "answer_dropped")


# --- answers and the way without it ----------------------------------------------------------


def test_an_error_of_the_server_means_the_same_as_without_it(folder: Path) -> None:
    with FakeForge(seconds=0.1, companion=folder) as fake:
        server = connected(fake)
        fake.faults.add("http_500", message="Invalid encoded image")
        [job] = queue()
        with lane(server):
            [failed] = until_final([job])
    assert (failed.status, failed.error_code) == (Status.FAILED, "init_image_invalid")


def test_the_ladder_against_too_little_memory_is_the_same(folder: Path) -> None:
    with FakeForge(seconds=0.1, companion=folder) as fake:
        server = connected(fake)
        fake.faults.add("oom")
        [job] = queue()
        with lane(server):
            [done] = until_final([job])
    assert (done.status, done.memory_step) == (Status.COMPLETED, 1)


@pytest.mark.parametrize("token", ["", "not-the-token-that-is-there"])
def test_without_the_right_token_all_is_as_before(folder: Path, token: str) -> None:
    with FakeForge(seconds=0.1, companion=folder) as fake:
        server = connected(fake, companion_token=token)
        assert not server.companion_ok
        [job] = queue()
        with lane(server):
            assert until_final([job])[0].status == Status.COMPLETED
        assert states(folder) == set()
        assert len(fake.log.runs()) == 1


def test_a_token_for_a_server_without_one_does_no_harm() -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake, companion_token="a-token-that-nobody-asks-for")
        jobs = queue(2)
        with lane(server):
            assert {job.status for job in until_final(jobs)} == {Status.COMPLETED}
        assert len(fake.log.runs()) == 2


def test_what_was_sent_without_it_is_waited_out_although_there_is_one_now(
    cluster: Cluster, folder: Path
) -> None:
    with FakeForge(seconds=0.6, companion=folder) as fake:
        server = connected(fake, companion_token="")
        [job] = queue()
        dead = cluster.start(server)
        eventually(lambda: samples(fake))
        dead.kill()
        server.companion_token = fake.companion.token
        server.save(update_fields=["sealed_companion_token"])
        cluster.start(server)
        assert until_final([job])[0].status == Status.COMPLETED
        first, second = fake.log.runs()
    assert second.arrived_at > first.ended_at


def test_a_fetched_picture_teaches_no_durations(cluster: Cluster, folder: Path) -> None:
    """It may have ended long before: a duration until its fetch would spoil the forecasts."""
    with FakeForge(seconds=3, companion=folder) as fake:
        server = connected(fake)
        [job] = queue(params={"steps": 30})
        dead = cluster.start(server)
        eventually(Attempt.objects.filter(first_step_at__isnull=False).exists)
        dead.kill()
        eventually(lambda: states(folder) == {"done"})
        following = cluster.start(server)
        until_final([job])
        following.join()
    assert not Timing.objects.exists()


def test_when_a_picture_began_stays_what_the_former_lane_saw(
    cluster: Cluster, folder: Path
) -> None:
    with FakeForge(seconds=3, companion=folder) as fake:
        server = connected(fake)
        [job] = queue(params={"steps": 30})
        dead = cluster.start(server)
        began = eventually(lambda: Attempt.objects.filter(began_at__isnull=False).first()).began_at
        time.sleep(1)
        dead.kill()
        following = cluster.start(server)
        until_final([job])
        following.join()
    assert abs((Attempt.objects.get().began_at - began).total_seconds()) < 0.5
