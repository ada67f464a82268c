"""`active` and `queued` may lie for ever after a failure; an idle backend has nothing (rule 18)."""

import base64

import pytest
import requests
from django.db import transaction

from dispatch.fakes.forge import FakeForge
from jobs import transitions
from jobs.choices import Status
from tests.dispatch.lane_harness import (
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


def test_a_failed_run_that_stays_active_for_ever_does_not_block_the_server(
    cluster: Cluster,
) -> None:
    with FakeForge(seconds=0.4) as fake:
        server = connected(fake)
        fake.faults.add("http_500", after_steps=2)
        [job] = queue()
        former = cluster.start(server)
        eventually(lambda: samples(fake))
        former.kill()
        [failed] = eventually(lambda: [r for r in fake.log.runs() if r.ended_at])
        assert fake.engine.tasks.look_up(failed.token)[0], "it still says that it is active"
        cluster.start(server, patience=60)
        assert until_final([job])[0].status == Status.COMPLETED


def test_an_entry_that_waits_for_ever_does_not_keep_us_from_stopping_a_picture() -> None:
    with FakeForge(seconds=3) as fake:
        broken = base64.b64encode(b"no picture").decode()
        requests.post(f"{fake.url}/sdapi/v1/img2img", json={"init_images": [broken]}, timeout=5)
        assert fake.engine.tasks.pending(), "a dead entry"
        server = connected(fake)
        [job] = queue()
        with lane(server, linger=0.05):
            eventually(lambda: samples(fake))
            with transaction.atomic():
                transitions.cancel(job.pk)
            eventually(no_attempt_left, 2)
        [run] = [run for run in fake.log.runs() if run.path.endswith("txt2img")]
        assert run.interrupted
