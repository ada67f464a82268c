"""The ten-minute clean-up: each part runs, whatever happens to the others."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone
from django_q.models import Task

from jobs.models import Job
from mobilesd import housekeeping
from tests import factories

pytestmark = pytest.mark.django_db


def failed_task(days_ago: float) -> Task:
    at = timezone.now() - timedelta(days=days_ago)
    return Task.objects.create(
        id=f"{days_ago}", name="t", func="f", started=at, stopped=at, success=False
    )


def test_removes_what_nobody_needs_and_nothing_else():
    now = timezone.now()
    deleted = factories.job(deleted_at=now - timedelta(hours=1))
    kept = factories.job()
    failed_task(8)
    recent = failed_task(1)
    Session.objects.create(session_key="old", expire_date=now - timedelta(days=1))
    Session.objects.create(session_key="new", expire_date=now + timedelta(days=1))

    housekeeping.run()

    assert set(Job.objects.values_list("pk", flat=True)) == {kept.pk} - {deleted.pk}
    assert list(Task.objects.values_list("pk", flat=True)) == [recent.pk]
    assert list(Session.objects.values_list("session_key", flat=True)) == ["new"]


def test_a_part_that_fails_is_named_and_keeps_no_other_from_its_work(monkeypatch, caplog):
    def disk_gone() -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("jobs.purge.purge_deleted", disk_gone)
    failed_task(8)
    housekeeping.run()
    assert "disk_gone failed" in caplog.text
    assert not Task.objects.exists()


def test_its_task_can_be_found_by_its_name():
    from pydoc import locate

    assert locate("mobilesd.housekeeping.run") is housekeeping.run
    assert callable(locate("mobilesd.supervisor.probe.answer"))
