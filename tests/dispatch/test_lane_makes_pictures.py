"""The main way: a queued job becomes a picture."""

import pytest

from dispatch.fakes.forge import FakeForge
from gallery.files import read_image
from gallery.models import Image
from jobs.choices import Status
from tests.dispatch.lane_harness import connected, lane, no_attempt_left, queue, until_final

pytestmark = pytest.mark.django_db(transaction=True)


def test_queued_jobs_become_pictures_in_order_with_one_set_each() -> None:
    with FakeForge(seconds=0.1) as fake:
        server = connected(fake)
        jobs = queue(4)
        with lane(server):
            done = until_final(jobs)
    assert [job.status for job in done] == [Status.COMPLETED] * 4
    assert Image.objects.count() == 4
    assert [run.payload["seed"] for run in fake.log.runs()] == [100, 101, 102, 103]
    image = Image.objects.get(job=jobs[0])
    assert image.seed == "100"
    assert "a lighthouse" in image.infotext
    assert read_image(image).startswith(b"\x89PNG")
    assert no_attempt_left()
