"""A process that says it is ready has done once what a list needs."""

import pytest
from django.db import OperationalError

from jobs.models import Job
from mobilesd import health
from mobilesd.warming import warm

pytestmark = pytest.mark.django_db


@pytest.fixture
def new_process(monkeypatch):
    monkeypatch.setattr(health, "_applied", False)


def test_it_is_warm_before_it_says_ready_and_only_once(new_process, client, monkeypatch):
    calls = []
    monkeypatch.setattr(health, "warm", lambda: calls.append(1))
    assert client.get("/readyz").status_code == 200
    assert client.get("/readyz").status_code == 200
    assert calls == [1]


def test_it_is_not_ready_when_lists_can_not_be_read(new_process, client, monkeypatch):
    def broken() -> None:
        raise OperationalError("disk I/O error")

    monkeypatch.setattr(health, "warm", broken)
    assert client.get("/readyz").status_code == 503
    monkeypatch.undo()
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("made", [0, 2])
def test_warming_changes_nothing(job, made):
    for _ in range(made):
        job()
    warm()
    assert Job.objects.count() == made
