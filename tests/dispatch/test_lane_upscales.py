"""Upscale jobs on a lane: alone, as the middle of a chain, and when something goes wrong."""

import base64

import pytest
from django.utils import timezone

from apikeys.actors import SYSTEM
from dispatch.fakes.forge import FakeForge
from dispatch.models import Inventory, Server, Timing
from dispatch.port import DispatchServers
from gallery.files import read_image
from gallery.models import Image
from jobs.choices import Kind, Outcome, Status
from jobs.models import Job, JobProgress
from jobs.pictures import inspect
from jobs.services import Order, submit
from tests import factories
from tests.dispatch.lane_harness import (
    cancel,
    connected,
    eventually,
    lane,
    no_attempt_left,
    queue,
    until_final,
)

pytestmark = pytest.mark.django_db(transaction=True)

PATHS = ["/sdapi/v1/txt2img", "/sdapi/v1/extra-single-image", "/sdapi/v1/img2img"]


def picture(width=16, height=8):
    return base64.b64encode(factories.png(width, height)).decode()


def ordered(start=None, **params):
    given = {
        "kind": "upscale",
        "init_images": [start or picture()],
        "upscaler": "Lanczos",
        **params,
    }
    return submit(Order(generation_params=given), SYSTEM).job


def output_of(job):
    return {"job": str(job.pk), "image": 0}


def test_a_picture_gets_larger_and_is_stored_as_a_result():
    with FakeForge(seconds=0.05) as fake:
        server = connected(fake)
        job = ordered(positive_prompt="a lighthouse", upscale_by=4)
        with lane(server):
            [done] = until_final([job])
    assert done.status == Status.COMPLETED
    [image] = Image.objects.filter(job=job)
    assert (image.width, image.height) == (64, 32)
    assert image.parameters["upscaler"] == "Lanczos"
    assert image.infotext == "Postprocess upscale by: 4.0, Postprocess upscaler: Lanczos"
    assert done.generation_info["upscale_by"] == 4


def test_txt2img_then_upscale_then_img2img():
    with FakeForge(seconds=0.05) as fake:
        server = connected(fake)
        [first] = queue()
        second = ordered(output_of(first), upscale_by=2)
        third = submit(
            Order(
                generation_params={
                    "positive_prompt": "a lighthouse at night",
                    "init_images": [output_of(second)],
                    "width": 128,
                    "height": 128,
                    "steps": 4,
                }
            ),
            SYSTEM,
        ).job
        with lane(server):
            done = until_final([first, second, third])
        runs = fake.log.runs()
    assert [job.status for job in done] == [Status.COMPLETED] * 3
    assert [job.kind for job in done] == [Kind.TXT2IMG, Kind.UPSCALE, Kind.IMG2IMG]
    assert [run.path for run in runs] == PATHS
    made, larger, last = (Image.objects.get(job=job) for job in done)
    assert (larger.width, larger.height) == (2 * made.width, 2 * made.height)
    assert larger.infotext == (
        f"{made.infotext}, Postprocess upscale by: 2.0, Postprocess upscaler: Lanczos"
    )
    assert larger.seed == made.seed
    assert inspect(read_image(last)).width == 128


def test_a_result_that_would_be_too_large_fails_with_what_to_do():
    with FakeForge() as fake:
        server = connected(fake)
        [first] = queue(params={"width": 1024, "height": 1024})
        second = ordered(output_of(first), upscale_by=8)
        with lane(server):
            done = until_final([first, second])[1]
        runs = fake.log.runs()
    assert (done.status, done.error_code) == (Status.FAILED, "result_too_large")
    assert "at most 7.81" in done.error_message
    assert len(runs) == 1, "nothing was sent"


def test_an_upscaler_that_no_server_has_is_told_at_once_and_fails_without_being_sent():
    with FakeForge() as fake:
        server = connected(fake)
        job = ordered(upscaler="Nope 8x")
        assert job.warnings == [
            "The upscaler Nope 8x is not on any server. The job would fail there."
        ]
        with lane(server):
            [done] = until_final([job])
        runs = fake.log.runs()
    assert (done.status, done.error_code) == (Status.FAILED, "upscaler_missing")
    assert "Lanczos" in done.error_hint
    assert runs == []


def test_a_server_that_has_the_upscaler_gets_it_from_one_that_lacks_it(monkeypatch):
    with FakeForge() as fake, FakeForge() as better:
        server = connected(fake)
        other = connected(better, "b")
        job = ordered(upscaler="Lanczos")
        known = Inventory.objects.get(server=server)
        known.data["upscalers"].remove("Lanczos")
        known.updated_at = timezone.now()
        known.save()
        monkeypatch.setattr("dispatch.lanes.lane.refresh", lambda *_: None)
        assert job.warnings == []
        with lane(server):
            eventually(lambda: Job.objects.get(pk=job.pk).avoid_servers == ["a"])
        with lane(other):
            [done] = until_final([job])
        assert (done.status, len(better.log.runs())) == (Status.COMPLETED, 1)
        assert fake.log.runs() == []


def test_latent_modes_are_no_upscalers_of_pictures():
    with FakeForge() as fake:
        server = connected(fake)
        params = {"kind": "upscale", "upscaler": "Latent"}
        [warning] = DispatchServers().submission_warnings(params, "forge", server.alias)
        assert "Latent is not on a" in warning


def test_it_is_learned_by_its_upscaler_and_teaches_nothing_of_the_loaded_checkpoint():
    with FakeForge(seconds=0.5) as fake:
        server = connected(fake)
        [first] = queue()
        with lane(server):
            until_final([first])
        loaded = Server.objects.get().loaded_checkpoint
        of_pictures = Timing.objects.exclude(kind="upscale").order_by("pk")
        learned = list(of_pictures.values("checkpoint", "runs", "unit_seconds"))
        job = ordered()
        with lane(Server.objects.get()):
            [done] = until_final([job])
        again = ordered(upscale_by=4)
        with lane(Server.objects.get()):
            eventually(
                lambda: JobProgress.objects.filter(job=again, eta_seconds__isnull=False).exists()
            )
            until_final([again])
    assert done.status == Status.COMPLETED
    assert Server.objects.get().loaded_checkpoint == loaded != ""
    assert list(of_pictures.values("checkpoint", "runs", "unit_seconds")) == learned
    assert job.attempts.get().expected_seconds is None
    timing = Timing.objects.get(kind="upscale")
    assert (timing.checkpoint, timing.runs) == ("Lanczos", 2)
    assert again.attempts.get().expected_seconds > 0


def test_a_cancelled_one_is_let_end_and_thrown_away():
    with FakeForge(seconds=0.5) as fake:
        server = connected(fake)
        job = ordered()
        [following] = queue()
        with lane(server):
            eventually(lambda: fake.engine.state.job == "Upscale")
            cancel(job)
            until_final([following])
        first, second = fake.log.runs()
    assert not first.interrupted, "the interrupt might hit somebody else's picture"
    assert second.arrived_at >= first.ended_at
    assert not Image.objects.filter(job=job).exists()
    assert no_attempt_left()


def test_a_lane_that_takes_over_waits_it_out_and_makes_it_again(cluster):
    with FakeForge(seconds=3) as fake:
        server = connected(fake)
        job = ordered()
        first_lane = cluster.start(server)
        eventually(lambda: fake.engine.state.job == "Upscale")
        first_lane.kill()
        cluster.start(server)
        [done] = until_final([job])
        first, second = fake.log.runs()
    assert done.status == Status.COMPLETED
    assert second.arrived_at > first.ended_at, "no second run beside the first"
    lost, made = job.attempts.order_by("number")
    assert (lost.outcome, made.outcome) == (Outcome.LOST, Outcome.COMPLETED)


def test_a_server_that_gives_way_to_others_goes_on_after_one_that_failed():
    with FakeForge() as fake:
        server = connected(fake, yield_below_mb=0)
        failing = ordered()
        Job.objects.filter(pk=failing.pk).update(max_attempts=1)
        fake.faults.add("http_500")
        with lane(server):
            until_final([failing])
        assert fake.engine.state.job == "Upscale", "it says so until the next run"
        [following] = queue()
        with lane(Server.objects.get()):
            [done] = until_final([following])
    assert done.status == Status.COMPLETED


def test_out_of_memory_is_not_answered_by_measures_that_it_does_not_know():
    with FakeForge() as fake:
        server = connected(fake)
        job = ordered()
        fake.faults.add("oom")
        with lane(server):
            [done] = until_final([job])
    assert (done.status, done.error_code) == (Status.FAILED, "out_of_memory")
    assert len(fake.log.runs()) == 1
