"""A bulk order is taken whole or not at all: in a race, and when something breaks half-way."""

import threading

import pytest
from django.db import OperationalError, connections

from jobs.models import Batch, Event, Idempotency, Job, JobInput
from jobs.services import bulk
from tests import factories
from tests.api.conftest import Api
from tests.operations.test_contract_bulk import BULK, order

pytestmark = pytest.mark.django_db(transaction=True)

WRITTEN = (Job, Batch, Event, Idempotency, JobInput)


@pytest.mark.parametrize("where", ["wording.add", "events.emit_for_jobs", "transitions"])
def test_what_breaks_half_way_leaves_nothing(member, monkeypatch, where):
    """As a full disk or a lost connection would, after rows were written."""

    def broken(*_args, **_kwargs):
        assert Job.objects.count() == 3, "it breaks in the middle"
        raise OperationalError("database or disk is full")

    name = f"{where}.announce_waiting" if where == "transitions" else where
    monkeypatch.setattr(f"{bulk.__name__}.{name}", broken)
    token = factories.key(member)[1]
    answer = Api(token).send("POST", BULK, order(idempotency_key="k"))
    assert answer.status_code == 503
    assert [model.objects.count() for model in WRITTEN] == [0] * len(WRITTEN)
    monkeypatch.undo()
    assert Api(token).send("POST", BULK, order(idempotency_key="k")).status_code == 202


def test_of_the_same_order_many_times_at_once_one_is_made(member):
    token, many = factories.key(member)[1], 6
    barrier, got = threading.Barrier(many), []

    def send() -> None:
        try:
            barrier.wait()
            answer = Api(token).send("POST", BULK, order(idempotency_key="k"))
            got.append((answer.status_code, answer.json()["bulk_job_id"]))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(status for status, _ in got) == [200] * (many - 1) + [202]
    assert {batch for _, batch in got} == {str(Batch.objects.get().pk)}
    assert Job.objects.count() == 3


def test_places_follow_one_another_while_others_submit(member):
    """Also those of two bulks at once: each is a block of its own."""
    token = factories.key(member)[1]
    barrier, got = threading.Barrier(3), []

    def send() -> None:
        try:
            barrier.wait()
            body = Api(token).send("POST", BULK, order(bulk_quantity=20)).json()
            got.append([entry["queue_position"] for entry in body["jobs"]])
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [list(range(first, first + 20)) for first in (1, 21, 41)]
