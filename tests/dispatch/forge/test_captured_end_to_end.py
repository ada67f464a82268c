"""The captured page through the REST API, the queue and a real lane, to the backend."""

import json

import pytest

from dispatch.fakes.forge import Checkpoint, FakeForge, Lora
from gallery.models import Image
from jobs.models import Job
from tests import factories
from tests.dispatch.forge.test_captured_payloads import (
    SCRIPTS,
    captured_with_controlnet,
    expected,
)
from tests.dispatch.lane_harness import connected, lane, until_final

pytestmark = pytest.mark.django_db(transaction=True)


def test_captured_page_becomes_a_picture_field_by_field(client) -> None:
    sent = captured_with_controlnet()
    client.force_login(factories.user())
    with FakeForge(
        seconds=0.1,
        scripts=SCRIPTS,
        loras=[Lora("styles/random_lora.safetensors")],
        checkpoints=[Checkpoint("random_a.safetensors")],
    ) as fake:
        server = connected(fake)
        response = client.post(
            "/api/v2/generate",
            json.dumps({"generation_params": sent}),
            content_type="application/json",
        )
        assert response.status_code == 202, response.content
        with lane(server):
            done = until_final(list(Job.objects.all()))
    assert [job.status for job in done] == ["completed"]
    (run,) = fake.log.runs()
    assert {**run.payload, "force_task_id": None} == expected(sent)
    image = Image.objects.get()
    assert image.seed == "4242"
    assert image.warnings == []
