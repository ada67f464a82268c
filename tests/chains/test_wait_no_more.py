"""Letting a job run without one of those that it depends on, from the page that offers it."""

import json
import uuid

import pytest
from django.urls import reverse

from apikeys.actors import Actor
from jobs.chains import own_reasons
from jobs.models import Event, Job, JobDependency
from jobs.services import delete
from tests import factories
from tests.chains.making import start, waiting
from tests.pages.conftest import HTMX
from tests.signed_in import browser, member

__all__ = ["browser", "member"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def who(member):
    return Actor.of_user(member)


def press(browser, job, parent):
    """Press the button of the reason as the page draws it."""
    return browser.post(
        reverse("job-wait-not", args=[job.pk]), {"parent": str(parent)}, headers=HTMX
    )


def toast(answer):
    return json.loads(answer.headers["HX-Trigger"])["toast"]


def parents_of(job):
    return set(JobDependency.objects.filter(job=job).values_list("parent", flat=True))


def bound_to(parent, who):
    """Return a job that is made from a picture of another one."""
    start_from = {"init_images": [{"job": str(parent.pk), "image": 0}]}
    return waiting(actor=who, params=start_from)


def test_only_the_named_job_is_let_go(browser, member, who):
    first, other = factories.job(owner=member), factories.job(owner=member)
    last = waiting(first, other, actor=who)
    answer = press(browser, last, first.pk)
    assert parents_of(last) == {other.pk}
    words = "It doesn't wait for that job any more. It still waits for 1 job."
    assert toast(answer)["text"] == words
    assert Event.objects.filter(job=last, kind="job.changed").count() == 1


def test_the_last_one_let_go_leaves_nothing_to_wait_for(browser, member, who):
    first = factories.job(owner=member)
    last = waiting(first, actor=who)
    answer = press(browser, last, first.pk)
    assert parents_of(last) == set()
    assert toast(answer)["text"] == "It doesn't wait for that job any more."
    assert not Job.objects.get(pk=last.pk).blocked, "no lane would look at it"


def test_the_page_sends_the_job_that_its_button_names(browser, member, who):
    factories.server()
    first, other = factories.job(owner=member), factories.job(owner=member)
    last = waiting(first, other, actor=who)
    page = browser.get(reverse("job-menu", args=[last.pk]), headers=HTMX).content.decode()
    assert reverse("job-wait-not", args=[last.pk]) in page
    assert f'name="parent" value="{first.pk}"' in page


def test_a_job_whose_picture_it_needs_has_no_button(browser, member, who):
    factories.server()
    first = factories.job(owner=member)
    last = bound_to(first, who)
    reason = own_reasons([Job.objects.get(pk=last.pk)])[last.pk]
    assert reason.buttons == ()
    assert reason.action == "It is made from a picture of that job."
    page = browser.get(reverse("job-menu", args=[last.pk]), headers=HTMX).content.decode()
    assert reverse("job-wait-not", args=[last.pk]) not in page


def test_a_job_whose_picture_it_needs_is_not_let_go(browser, member, who):
    first = factories.job(owner=member)
    last = bound_to(first, who)
    answer = press(browser, last, first.pk)
    assert answer.status_code == 409
    assert "can't run without it" in toast(answer)["text"]
    assert parents_of(last) == {first.pk}
    assert not Event.objects.filter(job=last, kind="job.changed").exists()


@pytest.mark.parametrize("wrong", ["", "not an id"])
def test_without_a_name_nothing_is_let_go(browser, member, who, wrong):
    first = factories.job(owner=member)
    last = waiting(first, actor=who)
    assert press(browser, last, wrong).status_code == 400
    assert parents_of(last) == {first.pk}


def test_a_job_that_it_never_needed_changes_nothing(browser, member, who):
    first = factories.job(owner=member)
    last = waiting(first, actor=who)
    before = Job.objects.get(pk=last.pk).updated_at
    assert press(browser, last, uuid.uuid4()).status_code == 409
    assert parents_of(last) == {first.pk}
    assert Job.objects.get(pk=last.pk).updated_at == before


def test_a_job_that_started_meanwhile_is_told_so(browser, member, who):
    first = factories.job(owner=member)
    last = waiting(first, actor=who, on_failure="run")
    delete(first.pk, who)
    start(last)
    answer = press(browser, last, first.pk)
    assert answer.status_code == 409
    assert "processing" in toast(answer)["text"]


def test_the_jobs_of_others_are_absent(browser):
    first = factories.job()
    last = waiting(first)
    assert press(browser, last, first.pk).status_code == 404
    assert parents_of(last) == {first.pk}
