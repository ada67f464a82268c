"""A picture that stops moving ends as an attempt; one that waits behind others does not."""

import threading
import time
from datetime import timedelta

import pytest
import requests
from django.utils import timezone

from dispatch.fakes.forge import FakeForge
from dispatch.lanes import outcomes
from jobs.choices import Outcome, Status
from jobs.models import Event
from tests.dispatch.lane_harness import connected, eventually, lane, queue, until_final

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_picture_that_stops_moving_is_made_again_when_the_server_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcomes, "_retry_at", lambda made: timezone.now() + timedelta(seconds=0.1))
    with FakeForge(seconds=0.2) as fake:
        server = connected(fake)
        fake.faults.add("stall", seconds=1.5)
        [job] = queue()
        with lane(server, stall=0.5):
            [done] = until_final([job])
        first, second = fake.log.runs()
    assert second.arrived_at > first.ended_at
    [told] = Event.objects.filter(kind="job.stalled")
    assert (told.job_id, told.owner_id) == (job.pk, job.owner_id)
    assert told.payload["server_alias"] == server.alias
    assert told.payload["attempt"] == str(job.attempts.get(number=1).token)
    assert told.payload["seconds"] >= 0.5
    assert (done.status, done.attempts_made) == (Status.COMPLETED, 2)
    assert [a.outcome for a in job.attempts.order_by("number")] == [
        Outcome.STALLED,
        Outcome.COMPLETED,
    ]


def test_one_that_waits_behind_a_long_picture_of_somebody_else_is_not_stalled() -> None:
    with FakeForge(seconds=1.2) as fake:
        server = connected(fake)
        theirs = {"prompt": "theirs", "steps": 20, "width": 64, "height": 64}
        url = f"{fake.url}/sdapi/v1/txt2img"
        foreign = threading.Thread(target=requests.post, args=(url,), kwargs={"json": theirs})
        foreign.start()
        eventually(lambda: fake.engine.state.job)
        [job] = queue()
        began = time.monotonic()
        with lane(server, stall=0.5, linger=0.05):
            eventually(lambda: fake.log.runs()[-1].started_at and len(fake.log.runs()) == 2)
            fake.engine.seconds = 0.1
            [done] = until_final([job])
        assert time.monotonic() - began > 0.8
        foreign.join()
        assert len(fake.log.runs()) == 2
    assert (done.status, done.attempts_made) == (Status.COMPLETED, 1)
