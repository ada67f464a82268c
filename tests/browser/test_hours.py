"""Hours are set from a phone: by its own time zone, and from the queue's menu."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from jobs.models import Job, QueueSettings
from tests import factories
from tests.browser.conftest import DESK, PHONE

pytestmark = pytest.mark.browser


def waiting(count):
    for n in range(count):
        factories.job(position=(n + 1) * 1_000_000)


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_nights_are_set_in_the_zone_of_the_device(site, size):
    waiting(3)
    page = site.page_at(size, user="anna", timezone_id="America/New_York")
    page.get_by_label("More for the whole queue").click()
    page.get_by_role("link", name="When the queue works").click()
    expect(page.get_by_label("Time zone")).to_have_value("America/New_York")
    page.get_by_role("button", name="Nights", exact=True).click()
    expect(page.get_by_label("When jobs may start")).to_have_value("23:00-07:00")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("/")
    expect(page.locator("#queue-hours time").first).to_have_text(re.compile("23:00|07:00"))
    row = QueueSettings.current()
    assert (row.hours, row.time_zone) == ("23:00-07:00", "America/New_York")
    page.locator("#queue-hours").get_by_role("link", name="Change the hours").click()
    expect(page.get_by_label("Time zone")).to_have_value("America/New_York")


def test_until_a_time_of_day_and_cancel_all_from_the_menu(site):
    waiting(4)
    page = site.page_at(user="anna")
    page.get_by_label("More for the whole queue").click()
    page.get_by_label("Run until").fill("06:30")
    page.get_by_role("button", name="Set", exact=True).click()
    page.locator("#queue-hours").get_by_text("Open until 06:30").wait_for()
    assert QueueSettings.current().run_until > timezone.now()
    page.get_by_label("More for the whole queue").click()
    page.get_by_role("button", name="Cancel all waiting").click()
    page.get_by_text("Cancel all 4 waiting jobs, whoever made them?").wait_for()
    page.get_by_role("button", name="Cancel all", exact=True).click()
    page.get_by_text("4 jobs cancelled.").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("4 jobs brought back.").wait_for()
    assert Job.objects.queued().count() == 4


def test_the_menu_is_there_when_nothing_waits_and_stays_open_while_lists_are_read(site):
    page = site.page_at(user="anna")
    page.get_by_label("More for the whole queue").click()
    page.evaluate("htmx.trigger('#active', 'refresh')")
    page.wait_for_load_state("networkidle")
    assert page.get_by_role("link", name="When the queue works").is_visible()
    assert page.get_by_label("Pause", exact=True).is_visible()


def test_an_end_that_has_come_is_resumed_with_one_touch(site):
    waiting(1)
    QueueSettings.objects.create(pk=1, run_until=timezone.now() - timedelta(minutes=5))
    page = site.page_at(user="anna")
    page.get_by_role("button", name="Resume the queue").click()
    page.locator("#queue-hours").wait_for(state="detached")
    assert QueueSettings.current().run_until is None


@pytest.mark.parametrize("label", ["Pause", "More for the whole queue"])
def test_on_a_phone_the_menus_open_inside_of_the_screen(site, label):
    waiting(3)
    page = site.page_at(PHONE, user="anna")
    page.get_by_label(label, exact=True).click()
    box = page.locator(".waiting-head details[open] .menu-sheet").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE[0], box
