"""For each failure that a server can have, the page of the job says what the cause was."""

import html
import re

import pytest
from django.test import Client

from dispatch.fakes.forge import FakeForge
from dispatch.fakes.forge.faults import KINDS
from dispatch.models import Server
from jobs.models import Job
from tests import factories
from tests.dispatch.lane_harness import connected, eventually, lane, queue, until_final
from tests.pages.fault_cases import CASES

pytestmark = pytest.mark.django_db(transaction=True)

CHECKPOINTS = ["good.safetensors", "other.safetensors", "broken.safetensors"]


def words_of(page: str) -> str:
    """Return what a person reads, from the main part on."""
    main = page[page.index("<main") : page.index('id="toasts"')]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", main)))


def page_of(job: Job) -> str:
    client = Client()
    client.force_login(factories.staff())
    return words_of(client.get(f"/jobs/{job.pk}").content.decode())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_page_names_the_cause(case):
    fields = {"params": {"checkpoint_name": case.checkpoint}} if case.checkpoint else {}
    with FakeForge(seconds=0.4, checkpoints=CHECKPOINTS) as fake:
        server = connected(fake)
        fake.faults.add(case.fault, **case.settings)
        [job] = queue(checkpoint=case.checkpoint, max_attempts=case.max_attempts, **fields)
        with lane(server, linger=0.2, patience=1.0, **case.pace):
            if case.final:
                until_final([job])
            else:  # the lane gives the server up, and the job waits for it
                eventually(lambda: not Server.objects.get().is_healthy or _given_up(job))
        text = page_of(job)
    for words in case.words:
        assert words in text


def _given_up(job: Job) -> bool:
    return job.attempts.filter(ended_at__isnull=False).exists()


def test_every_failure_of_the_fake_is_tried():
    assert {case.fault for case in CASES} == set(KINDS)
