"""The buttons that help a waiting job: each kind is drawn, and does what it says."""

import json
from datetime import timedelta

import pytest
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.utils import timezone

from dispatch.models import Health, Server
from jobs.cards import Card
from jobs.choices import Status
from jobs.models import Batch, Event, Job
from jobs.ports import BUTTON_KINDS, Button, Reason
from tests import factories
from tests.pages.conftest import HTMX

# Kinds whose target is empty, or not an alias.
_JOB = ("cancel_dependency", "try_now")
_FOR_STAFF = (
    *("add_server", "edit_hours", "edit_server", "enable_server", "resume_queue"),
    *("resume_server", "show_servers", "show_storage", "test_server"),
)


def _drawn(kind, user):
    job = factories.job()
    target = str(job.pk) if kind in (*_JOB, "nod") else "gpu"
    card = Card(job, reason=Reason("x", "It waits.", buttons=(Button("Help it", kind, target),)))
    request = RequestFactory().get("/")
    request.user = user
    return render_to_string("jobs/_helps.html", {"card": card, "user": user}, request)


@pytest.mark.django_db
@pytest.mark.parametrize("kind", BUTTON_KINDS)
def test_each_kind_of_button_is_drawn_for_staff(kind):
    assert "Help it" in _drawn(kind, factories.staff())


@pytest.mark.django_db
@pytest.mark.parametrize("kind", BUTTON_KINDS)
def test_members_see_no_button_that_would_refuse_them(kind):
    assert ("Help it" in _drawn(kind, factories.user())) is (kind not in _FOR_STAFF)


def test_a_held_job_can_be_let_run_from_its_own_page_and_its_menu(browser, member):
    batch = Batch.objects.create(total=2, owner=member, created_at=timezone.now())
    job = factories.job(owner=member, batch=batch, held=True)
    for page in (f"/jobs/{job.pk}", f"/jobs/{job.pk}/menu"):
        assert f'action="/batches/{batch.pk}/nod"' in browser.get(page).text
    browser.post(f"/batches/{batch.pk}/nod", {"go": "true"}, headers=HTMX)
    assert not Job.objects.get(pk=job.pk).held


def test_a_job_that_is_put_off_after_an_error_is_tried_at_once(browser, member):
    later = timezone.now() + timedelta(minutes=9)
    job = factories.job(owner=member, retry_at=later)
    assert "Try it now" in browser.get("/").text
    answer = browser.post(f"/jobs/{job.pk}/try-now", headers=HTMX)
    assert (
        "as soon as a server is free" in json.loads(answer.headers["HX-Trigger"])["toast"]["text"]
    )
    assert Job.objects.get(pk=job.pk).retry_at is None
    assert Event.objects.filter(job=job, kind="job.changed").count() == 1
    # Twice is no error, and tells nobody of a change that there was not.
    assert browser.post(f"/jobs/{job.pk}/try-now", headers=HTMX).status_code == 204
    assert Event.objects.filter(job=job, kind="job.changed").count() == 1


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.FAILED])
def test_only_what_waits_can_be_tried_now(browser, member, status):
    job = factories.job(status, owner=member)
    answer = browser.post(f"/jobs/{job.pk}/try-now", headers=HTMX)
    assert answer.status_code == 409
    assert not Event.objects.filter(job=job).exists()


def test_what_its_owner_put_off_is_no_matter_of_trying(browser, member):
    factories.job(owner=member, not_before=timezone.now() + timedelta(hours=2))
    page = browser.get("/").text
    assert "Try it now" not in page
    assert "Change the job" in page


def test_a_server_that_is_off_is_switched_on_from_the_row(staff_browser):
    factories.server("gpu", enabled=False)
    factories.job()
    assert "Switch gpu on" in staff_browser.get("/").text
    staff_browser.post("/servers/gpu/switch", {"to": "enable"}, headers=HTMX)
    assert Server.objects.get().enabled


def test_a_job_that_a_server_could_not_do_may_go_there_again(browser, member):
    factories.server("gpu", health=Health.HEALTHY)
    job = factories.job(owner=member, avoid_servers=["gpu"])
    assert "Use gpu again" in browser.get("/").text
    browser.post(f"/jobs/{job.pk}/server", {"server": "gpu"}, headers=HTMX)
    assert Job.objects.get(pk=job.pk).avoid_servers == []


def test_without_any_server_staff_can_add_one(staff_browser):
    factories.job()
    assert 'href="/servers/add"' in staff_browser.get("/").text


def test_a_job_of_a_removed_server_can_wait_for_any(browser, member):
    factories.server("gpu", health=Health.OFFLINE)
    job = factories.job(owner=member, target_server_alias="gone")
    assert "Use any server" in browser.get("/").text
    browser.post(f"/jobs/{job.pk}/server", {"server": ""}, headers=HTMX)
    assert Job.objects.get(pk=job.pk).target_server_alias == ""
