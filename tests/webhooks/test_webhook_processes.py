"""Webhooks of a whole installation: real processes, killed at the worst moment."""

import json
import threading
from collections.abc import Callable

import psutil
import pytest

from tests.processes.conftest import install, prepared_folder  # noqa: F401  fixtures
from tests.processes.installation import Installation, eventually
from tests.webhooks.receiver import Receiver
from tests.webhooks.test_webhook_signature import verified

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

QUICK = {"MOBILESD_WEBHOOK_ALLOW_LOCAL": "true", "MOBILESD_SWEEP_SECONDS": "0.5"}
# What a minute of waiting would do.
PASS_TIME = (
    "from django.utils import timezone; from jobs.models import Delivery, Webhook;"
    "Webhook.objects.update(not_before=None);"
    "Delivery.objects.filter(state='pending').update(due_at=timezone.now())"
)


def make(inst: Installation, url: str) -> dict:
    body = {"url": url, "events": ["job.created", "job.status"]}
    answer = inst.api.post("/api/v2/webhooks", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["webhook"]


def deliveries(inst: Installation, webhook: dict) -> list[dict]:
    path = f"/api/v2/webhooks/{webhook['id']}/deliveries?order=asc"
    return inst.api.get(path).json()["deliveries"]


def told(receiver: Receiver) -> list[str]:
    return [json.loads(got.body)["data"]["status"] for got in receiver.got]


def test_a_job_is_told_of_from_submission_to_picture(
    install: Callable[..., Installation],  # noqa: F811
) -> None:
    with Receiver() as receiver, install(env=QUICK) as inst:
        inst.fake("gpu", seconds=0.1)
        webhook = make(inst, receiver.url)
        inst.submit("gpu")
        eventually(lambda: "completed" in told(receiver), 30, "the completed job")
        assert told(receiver) == ["pending", "processing", "completed"]
        assert all(
            verified(got.headers["X-MobileSD-Signature"], got.body, webhook["secret"])
            for got in receiver.got
        )
        assert json.loads(receiver.got[-1].body)["data"]["job_details"]["status"] == "completed"
        assert webhook["secret"] not in inst.logs
        # The task that waits for events does not hold a stop up.
        assert inst.stop() < 6


def test_a_worker_that_dies_before_it_notes_an_answer_loses_nothing(
    install: Callable[..., Installation],  # noqa: F811
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def wait_to_answer(_: object) -> int:
        asked.set()
        answer.wait(30)
        return 204

    with Receiver(answer=wait_to_answer) as receiver, install(env=QUICK) as inst:
        webhook = make(inst, receiver.url)
        inst.submit()
        assert asked.wait(30)
        sender = psutil.Process(int((inst.run_dir / "webhooks.lock").read_text()))
        sender.kill()
        eventually(lambda: not sender.is_running(), 10, "its end")
        answer.set()
        (line,) = deliveries(inst, webhook)
        assert (line["state"], line["tries"]) == ("pending", 1)
        inst.manage("shell", "-c", PASS_TIME)
        eventually(lambda: deliveries(inst, webhook)[0]["state"] == "delivered", 40, "the second")
        assert len(receiver.got) == 2
        assert receiver.got[0].body == receiver.got[1].body
