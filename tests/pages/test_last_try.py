"""A job that was tried and waits again says how its last try ended, and what the next one does."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dispatch.models import Inventory
from jobs.ports import QueueForecast, ports
from tests import factories
from tests.pages.conftest import HTMX

TOO_LITTLE = "The graphics card ran out of memory."


def _tried(owner, *errors, **fields):
    job = factories.job(owner=owner, **fields)
    for error in errors:
        factories.attempt(
            job,
            ended_at=timezone.now(),
            outcome="error" if error else "cancelled",
            error_message=error,
        )
    return job


def test_a_waiting_job_tells_how_its_last_try_ended(browser, member):
    job = _tried(member, "The first one.", "The connection broke.", attempts_made=2)
    for path in ("/", f"/jobs/{job.pk}", f"/jobs/{job.pk}/menu"):
        page = browser.get(path).text
        assert "Last try: The connection broke." in page, path
        assert "Last try: The first one." not in page


def test_a_job_that_nobody_tried_or_whose_last_try_was_cancelled_tells_nothing(browser, member):
    factories.job(owner=member)
    _tried(member, "Old.", "")
    assert "Last try" not in browser.get("/").text


@pytest.mark.parametrize(
    ("step", "batch_size", "words"),
    [
        (1, 1, "Next: with a tiled VAE and the model moved out in parts."),
        (
            2,
            8,
            "Next: with a tiled VAE and the model moved out in parts,"
            " with 4 instead of 8 pictures at once.",
        ),
    ],
)
def test_the_next_measure_against_too_little_memory_is_named(
    browser, member, step, batch_size, words
):
    server = factories.server("gpu")
    data = {"scripts": ["never oom integrated"]}
    Inventory.objects.create(server=server, data=data, updated_at=timezone.now())
    params = {"positive_prompt": "x", "batch_size": batch_size}
    job = _tried(member, TOO_LITTLE, memory_step=step, generation_params=params)
    for path in ("/", f"/jobs/{job.pk}"):
        assert f"Last try: {TOO_LITTLE} {words}" in browser.get(path).text


def test_it_costs_no_query_for_each_job(browser, member, monkeypatch):
    # Kept for seconds: how many queries they cost depends on the time.
    monkeypatch.setattr(ports, "forecast", lambda jobs: {})
    monkeypatch.setattr(ports.servers, "queue_forecast", QueueForecast)

    def queries():
        with CaptureQueriesContext(connection) as seen:
            browser.get("/queue/active", headers=HTMX)
        return len(seen)

    factories.server("gpu")
    _tried(member, TOO_LITTLE, memory_step=1)
    queries()
    one = queries()
    for _ in range(5):
        _tried(member, TOO_LITTLE, memory_step=1)
    assert queries() == one
