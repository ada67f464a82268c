"""Retrying: by a deadline that can still be kept, and only while its pictures are there."""

import base64
import random
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from PIL import Image as PillowImage

from apikeys.actors import SYSTEM
from dispatch.sweep import Sweep
from jobs import services
from jobs.choices import Status
from jobs.inputs import input_store
from jobs.models import Event, Job, JobDependency, JobInput
from tests import factories
from tests.pages.conftest import HTMX
from tests.signed_in import browser  # noqa: F401  a fixture

pytestmark = pytest.mark.django_db


def late(owner, **fields):
    """Make a job that has failed because its deadline passed."""
    fields.setdefault("deadline", timezone.now() - timedelta(minutes=1))
    return factories.job(Status.FAILED, owner=owner, error_code="deadline_passed", **fields)


def retried(client, job, **body):
    return client.send("POST", f"/api/v2/jobs/{job.pk}/retry", body)


def noise() -> str:
    """Return a picture too big to stay in the parameters."""
    import io

    stream = io.BytesIO()
    pixels = random.Random(1).randbytes(64 * 64 * 3)
    PillowImage.frombytes("RGB", (64, 64), pixels).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def made_from_a_picture(client, **fields):
    """Submit a job with a start picture, and let it fail."""
    params = {"positive_prompt": "x", "init_images": [noise()]}
    answer = client.send("POST", "/api/v2/generate", {"generation_params": params, **fields})
    found = Job.objects.filter(pk=answer.json()["mobilesd_job_id"])
    found.update(status=Status.FAILED, finished_at=timezone.now())
    return found.get()


def forget_inputs(job, *, with_files):
    """Do what retention and, later, the collector do."""
    for row in JobInput.objects.filter(job=job):
        if with_files:
            input_store().path(row.sha256).unlink()
        row.delete()


# --- Deadlines ----------------------------------------------------------------------------------


def test_a_deadline_that_has_passed_is_dropped_and_the_sweep_lets_the_job_wait(api, member):
    job = late(member)
    assert retried(api, job).status_code == 200
    Sweep._expire()
    job.refresh_from_db()
    assert (job.status, job.deadline) == (Status.PENDING, None)
    fields = Event.objects.filter(job=job, kind="job.changed").values_list("payload", flat=True)
    assert [payload["fields"] for payload in fields] == [["deadline"]]


def test_a_deadline_that_is_ahead_stays(api, member):
    ahead = timezone.now() + timedelta(hours=1)
    job = late(member, deadline=ahead)
    retried(api, job)
    job.refresh_from_db()
    assert job.deadline == ahead
    assert not Event.objects.filter(job=job, kind="job.changed").exists()


@pytest.mark.parametrize(("text", "wanted"), [("2100-01-02T06:30:00+01:00", 2100), ("", None)])
def test_a_retry_can_bring_a_deadline(api, member, text, wanted):
    job = late(member, deadline=timezone.now() + timedelta(hours=1))
    answer = retried(api, job, deadline=text)
    assert answer.status_code == 200, answer.json()
    job.refresh_from_db()
    assert (job.deadline.year if job.deadline else None) == wanted


@pytest.mark.parametrize(
    ("deadline", "words"),
    [
        ("2000-01-01T00:00:00Z", "has passed"),
        ("tomorrow", "a time with its zone"),
        (5, "must be a text"),
        ("2099-01-01T00:00:00Z", "later than not_before"),
    ],
)
def test_a_wrong_deadline_is_refused_and_the_job_stays_as_it_is(api, member, deadline, words):
    job = late(member, not_before=timezone.now().replace(year=2100))
    answer = retried(api, job, deadline=deadline)
    assert answer.status_code == 400
    assert words in str(answer.json()["details"]["fields"]["deadline"])
    job.refresh_from_db()
    assert job.status == Status.FAILED


def test_dependents_that_come_back_with_it_lose_a_passed_deadline_as_well(api, member):
    parent = late(member)
    child = late(member)
    Job.objects.filter(pk=child.pk).update(error_code="dependency_failed")
    JobDependency.objects.create(job=child, parent=parent)
    assert retried(api, parent, dependents=True).json()["dependents"] == [str(child.pk)]
    child.refresh_from_db()
    assert (child.status, child.deadline) == (Status.PENDING, None)


@pytest.mark.parametrize(("within", "hours"), [("", None), ("8", 8)])
def test_the_page_says_what_became_of_the_deadline(browser, member, within, hours):  # noqa: F811
    job = late(member)
    page = browser.get(reverse("job", args=[job.pk])).content.decode()
    assert 'name="within"' in page and "within 8 hours" in page
    answer = browser.post(
        reverse("job-retry", args=[job.pk]), {"seed": "same", "within": within}, headers=HTMX
    )
    job.refresh_from_db()
    if hours is None:
        assert "has none now" in answer.headers["HX-Trigger"]
        assert job.deadline is None
    else:
        assert abs(job.deadline - timezone.now() - timedelta(hours=hours)) < timedelta(minutes=1)


def test_a_deadline_that_is_not_offered_is_refused(browser, member):  # noqa: F811
    job = late(member)
    answer = browser.post(reverse("job-retry", args=[job.pk]), {"within": "9999"}, headers=HTMX)
    assert answer.status_code == 400
    job.refresh_from_db()
    assert job.status == Status.FAILED


# --- Pictures that are gone ---------------------------------------------------------------------


def test_a_job_whose_picture_is_gone_is_not_taken_back(api):
    job = made_from_a_picture(api)
    forget_inputs(job, with_files=True)
    for body in ({}, {"dependents": True}):
        answer = retried(api, job, **body)
        assert answer.status_code == 409
        assert "a picture that it is made from is gone" in answer.json()["message"]
    job.refresh_from_db()
    assert job.status == Status.FAILED
    assert not Event.objects.filter(job=job, kind="job.status").exists()


def test_a_file_that_is_still_there_is_tied_to_the_job_again(api):
    job = made_from_a_picture(api)
    forget_inputs(job, with_files=False)
    assert retried(api, job).status_code == 200
    assert JobInput.objects.filter(job=job).count() == 1, "else the collector deletes the file"


def test_a_dependent_whose_picture_is_gone_stays_failed(api, member):
    parent = factories.job(Status.FAILED, owner=member)
    child = made_from_a_picture(api)
    Job.objects.filter(pk=child.pk).update(error_code="dependency_failed")
    JobDependency.objects.create(job=child, parent=parent)
    forget_inputs(child, with_files=True)
    answer = retried(api, parent, dependents=True)
    assert (answer.status_code, answer.json()["dependents"]) == (200, [])
    child.refresh_from_db()
    assert child.status == Status.FAILED


def test_the_pages_offer_no_retry_and_say_why(api, browser, member):  # noqa: F811
    job = made_from_a_picture(api)
    pages = [reverse("queue-ended"), reverse("job-menu", args=[job.pk]), f"/jobs/{job.pk}"]
    retry = reverse("job-retry", args=[job.pk])
    assert all(retry in browser.get(page).content.decode() for page in pages)
    forget_inputs(job, with_files=True)
    for page in pages:
        text = browser.get(page).content.decode()
        assert retry not in text, page
        assert "a picture that it is made from is gone" in text, page


def test_a_retry_by_the_program_itself_is_held_to_the_same():
    job = factories.job(Status.CANCELLED, deadline=timezone.now() - timedelta(days=1))
    assert services.retry(job.pk, SYSTEM).deadline is None
