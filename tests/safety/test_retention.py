"""How long things are kept: only what is beyond a rule goes, and nothing that is still needed."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from gallery.models import Image
from jobs.models import Job, JobDependency, Retention
from mobilesd import retention
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
