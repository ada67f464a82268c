"""What the scheduler is told of the rows in the database."""

from datetime import timedelta

import pytest
from django.utils import timezone

from dispatch.candidates import candidates_for
from tests import factories

pytestmark = pytest.mark.django_db


def waits(server):
    return {job.checkpoint: job.waited for job in candidates_for(server, "")}


def test_a_job_counts_as_waiting_from_the_last_model_load_on() -> None:
    now = timezone.now()
    server = factories.server(loaded_since=now - timedelta(seconds=50))
    factories.job(checkpoint="old", created_at=now - timedelta(hours=8))
    factories.job(checkpoint="new", created_at=now - timedelta(seconds=10))
    assert waits(server) == {
        "old": pytest.approx(50, abs=5),
        "new": pytest.approx(10, abs=5),
    }, "else a queue that is old as a whole is no longer grouped"


def test_on_a_server_that_loaded_nothing_yet_it_waits_since_its_submission() -> None:
    factories.job(checkpoint="old", created_at=timezone.now() - timedelta(hours=8))
    assert waits(factories.server()) == {"old": pytest.approx(8 * 3600, abs=5)}
