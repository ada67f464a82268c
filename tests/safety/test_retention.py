"""How long things are kept: only what is beyond a rule goes, and nothing that is still needed."""

import os
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from gallery.models import Image
from jobs.models import Job, JobDependency, Retention
from mobilesd import retention
from mobilesd.retention import rows
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


def rule(kind: str, **fields: object) -> Retention:
    fields.setdefault("is_active", True)
    return Retention.objects.create(kind=kind, updated_at=timezone.now(), **fields)


def ended(days: float, status: str = "completed", **fields: object) -> Job:
    at = timezone.now() - timedelta(days=days)
    return factories.job(status, created_at=at, finished_at=at, **fields)


def listed() -> set[Job]:
    return set(Job.objects.listed())


def test_jobs_beyond_an_age_go_and_others_stay():
    old, young = ended(31), ended(29)
    waiting = factories.job(created_at=timezone.now() - timedelta(days=99))
    running = factories.job("processing", created_at=timezone.now() - timedelta(days=99))
    found = rule("jobs", days=30)
    assert retention.figure(found).count == 1
    retention.apply_active()
    assert listed() == {young, waiting, running}
    assert Job.objects.get(pk=old.pk).deleted_at is not None, "purged after the undo time"


def test_only_so_many_stay_the_newest():
    jobs = [ended(days) for days in range(5)]
    rule("jobs", most=2)
    retention.apply_active()
    assert listed() == set(jobs[:2])


def test_a_parent_of_a_job_that_waits_stays():
    parent, child = ended(99), factories.job()
    JobDependency.objects.create(job=child, parent=parent)
    factories.image(parent, created_at=parent.created_at)
    rule("jobs", days=1)
    rule("pictures", days=1)
    retention.apply_active()
    assert parent in listed()
    assert Image.objects.count() == 1


def test_pictures_beyond_a_size_go_the_oldest_first():
    now = timezone.now()
    images = [factories.image(ended(day), created_at=now - timedelta(days=day)) for day in range(4)]
    Image.objects.update(bytes=10**9)
    found = rule("pictures", gigabytes=2)
    assert retention.figure(found) == retention.Figure(2, 2 * 10**9)
    retention.apply_active()
    assert set(Image.objects.all()) == set(images[:2])


def test_a_rule_that_is_off_deletes_nothing_and_tells_what_it_would(capsys):
    ended(99)
    rule("jobs", days=1, is_active=False)
    retention.apply_active()
    call_command("retention", "--apply")
    assert len(listed()) == 1
    assert "would delete 1" in capsys.readouterr().out


def test_the_page_shows_what_would_go_before_it_is_saved(client):
    client.force_login(factories.staff())
    ended(99)
    page = reverse("storage")
    answer = client.post(page, {"jobs-days": "30", "jobs-is_active": "on", "look": "1"})
    assert "Would delete 1 now" in answer.text
    assert not Retention.objects.exists()
    assert client.post(page, {"jobs-days": "30", "jobs-is_active": "on"}).status_code == 302
    assert Retention.objects.get(kind="jobs").days == 30
    assert len(listed()) == 1, "the clean-up does it"


@pytest.mark.parametrize(
    "given", [{"jobs-days": "soon"}, {"jobs-most": "-1"}, {"jobs-is_active": "on"}]
)
def test_a_rule_that_makes_no_sense_is_refused(client, given):
    client.force_login(factories.staff())
    answer = client.post(reverse("storage"), given)
    assert answer.status_code == 422
    assert not Retention.objects.exists()


def test_the_page_is_for_staff(client):
    client.force_login(factories.user())
    assert client.get(reverse("storage")).status_code == 403


def log_file(name: str, days: float, size: int = 10) -> Path:
    path = Path(settings.DATA_DIR) / "logs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    at = time.time() - days * 86_400
    os.utime(path, (at, at))
    return path


@pytest.mark.parametrize(
    ("limit", "goes"),
    [({"days": 20}, 1), ({"most": 1}, 2), ({"gigabytes": 25 / 10**9}, 1), ({"days": 99}, 0)],
)
def test_log_files_that_are_full_go_the_oldest_first(data_dir, limit, goes):
    written = [log_file("web.log", 99), log_file("web.log.lock", 99)]
    full = [log_file("web.log.3", 30), log_file("web.log.2", 15), log_file("up.log.1", 5)]
    found = rule("log_files", **limit)
    assert retention.figure(found) == retention.Figure(goes, 10 * goes)
    retention.apply_active()
    assert [path.exists() for path in full] == [number >= goes for number in range(3)]
    assert all(path.exists() for path in written), "a process has it open"


def test_many_rows_go_in_slices_and_all_of_them(monkeypatch):
    monkeypatch.setattr(rows, "_AT_ONCE", 3)
    monkeypatch.setattr(rows, "_PAUSE_SECONDS", 0)
    slices: list[int] = []
    kind = retention.KINDS["jobs"]
    counting = replace(kind, delete=lambda ids: (slices.append(len(ids)), kind.delete(ids)))
    monkeypatch.setitem(retention.KINDS, "jobs", counting)
    at = timezone.now() - timedelta(days=9)
    for _ in range(4):
        factories.job("completed", created_at=at, finished_at=at)  # of one moment
    for days in range(3, 7):
        ended(days)
    young = ended(0)
    assert retention.apply(rule("jobs", days=2)) == 8
    assert slices == [3, 3, 2]
    assert listed() == {young}


def test_what_can_t_be_deleted_is_passed_over_and_does_not_hold_the_rest(monkeypatch):
    monkeypatch.setattr(rows, "_AT_ONCE", 2)
    kind = retention.KINDS["jobs"]
    monkeypatch.setitem(retention.KINDS, "jobs", replace(kind, delete=lambda ids: None))
    for days in range(3, 8):
        ended(days)
    retention.apply(rule("jobs", days=2))
    assert len(listed()) == 5


def test_a_page_that_is_shown_adds_no_table_up_anew(client):
    client.force_login(factories.staff())
    now = timezone.now()
    for day in range(3):
        factories.image(ended(day), created_at=now - timedelta(days=day))
    rule("pictures", gigabytes=1)
    page = reverse("storage")
    client.get(page)
    with CaptureQueriesContext(connection) as shown:
        client.get(page)
    assert not [query for query in shown if "SUM" in query["sql"] and "COUNT" not in query["sql"]]
    Image.objects.update(bytes=10**9)
    assert "Would delete 2 now" in client.post(page, {"pictures-gigabytes": "1", "look": "1"}).text
