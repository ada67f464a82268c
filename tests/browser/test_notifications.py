"""Notifications in a browser: added on a phone, and the badge of a page that nobody looks at."""

import os
import re
from pathlib import Path

import pytest
from django.db import transaction
from playwright.sync_api import expect

from jobs import transitions
from jobs.choices import Status
from jobs.models import Job, Notifier
from tests import factories
from tests.browser.conftest import DESK, PHONE
from tests.browser.test_looks import SCRIPTS

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SHOTS = os.environ.get("SHOTS", "")


def shot(page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_one_is_added_and_tested(site, size):
    page = site.page_at(size=size, user="anna")
    page.get_by_label("Account of anna").click()
    page.get_by_role("link", name="Notifications").click()
    expect(page.get_by_text("Nobody is told yet")).to_be_visible()
    shot(page, f"empty-{size[0]}")
    page.get_by_role("link", name="Add a notification").click()
    page.get_by_label("Address").fill("syslog://here")
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_text("It names no service")).to_be_visible()
    shot(page, f"wrong-{size[0]}")
    page.get_by_label("Address").fill("ntfys://ntfy.sh/a-secret-topic")
    page.get_by_label("Name").fill("My phone")
    page.get_by_label("Quiet hours").fill("23:00-07:00")
    page.get_by_label("Nothing waits any more").check()
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_role("heading", name="My phone")).to_be_visible()
    Notifier.objects.create(
        owner=Notifier.objects.get().owner,
        name="Mail",
        sealed_url="",
        kinds=["failed"],
        last_error="The service answered with status 401.",
        created_at=Notifier.objects.get().created_at,
    )
    page.reload()
    shot(page, f"list-{size[0]}")
    for script in ("small_targets.js", "poor_contrast.js", "nameless.js"):
        assert page.evaluate((SCRIPTS / script).read_text()) == [], script
    page.get_by_role("button", name="Send a test").first.click()
    expect(page.get_by_text("A test is on its way.")).to_be_visible()
    expect(page.get_by_text("1 message waits to be sent.")).to_be_visible()


def test_a_page_that_nobody_looks_at_counts_what_ended(site):
    # What came before, so that the socket can be told what it missed while it was being opened.
    _end(factories.job(Status.PROCESSING, owner=_anna()), Status.CANCELLED)
    page = site.page_at(user="anna")
    title = page.title()
    plain = page.locator('link[rel="icon"]').get_attribute("href")
    expect(page.locator("body")).to_be_visible()
    hide = "document.dispatchEvent(new Event('visibilitychange'))"
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {get: () => !window.looked, configurable: true})"
    )
    page.evaluate(hide)
    owner = _anna()
    for status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED):
        _end(factories.job(Status.PROCESSING, owner=owner), status)
    expect(page).to_have_title(re.compile(r"^\(2\) "))
    icon = page.locator('link[rel="icon"]')
    expect(icon).to_have_attribute("href", re.compile("^data:image/png"))
    page.evaluate(f"window.looked = true; {hide}")
    expect(page).to_have_title(title)
    assert page.locator('link[rel="icon"]').evaluate("e => new URL(e.href).pathname") == plain


def _anna():
    from django.contrib.auth import get_user_model

    return get_user_model().objects.get(username="anna")


def _end(job: Job, status: str) -> None:
    Job.objects.filter(pk=job.pk).update(status=status)
    job.refresh_from_db()
    with transaction.atomic():
        transitions._status_event(job)
