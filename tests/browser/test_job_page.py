"""A job's page in a browser: looking through its pictures, copying, watching it being made."""

import uuid

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from playwright.sync_api import expect

from jobs import transitions
from jobs.choices import Status
from tests import factories
from tests.browser.conftest import DESK, PHONE

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture
def job(site):
    anna = get_user_model().objects.get(username="anna")
    params = {"positive_prompt": "a lighthouse", "width": 64, "height": 96, "seed": 1}
    row = factories.job(Status.COMPLETED, owner=anna, generation_params=params)
    for n, colour in enumerate(("red", "green", "blue")):
        content = factories.png(64, 96, colour)
        factories.image(row, content, width=64, height=96, index=n, seed=str(40 + n))
    return row


def test_the_pictures_are_stepped_through_and_named(site, job):
    page = site.page_at(DESK, user="anna")
    page.goto(f"/jobs/{job.pk}")
    download = page.get_by_role("link", name="Download")
    images = list(job.images.order_by("index"))
    expect(page.get_by_role("button", name="Picture before")).to_be_disabled()
    page.get_by_role("button", name="Next picture").click()
    expect(page.locator("[data-seed-text]")).to_have_text("41")
    expect(download).to_have_attribute("href", f"/api/v1/gallery/images/{images[1].pk}/file")
    page.locator("[data-strip]").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-seed-text]")).to_have_text("42")
    expect(page.get_by_role("button", name="Next picture")).to_be_disabled()
    with page.expect_download() as saved:
        download.click()
    assert saved.value.suggested_filename == images[2].filename


def test_a_swipe_shows_the_next_picture(site, job):
    page = site.page_at(PHONE, user="anna")
    page.goto(f"/jobs/{job.pk}")
    page.evaluate("document.querySelector('[data-strip]').scrollBy(300, 0)")  # a thumb's way
    expect(page.locator("[data-seed-text]")).to_have_text("41")
    expect(page.get_by_role("button", name="Picture 2", exact=True)).to_have_attribute(
        "aria-current", "true"
    )


def test_a_link_to_a_picture_shows_it(site, job):
    page = site.page_at(PHONE, user="anna")
    last = job.images.order_by("index").last()
    page.goto(f"/images/{last.pk}")
    expect(page.locator("[data-seed-text]")).to_have_text("42")


def test_the_prompt_is_copied_also_without_https(site, job):
    page = site.page_at(DESK, user="anna")
    page.goto(f"/jobs/{job.pk}")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.get_by_role("button", name="Copy the prompt").click()
    expect(page.locator("#toasts")).to_contain_text("Copied.")
    page.goto("/new")
    page.get_by_label("Negative prompt").focus()
    page.keyboard.press("Control+v")
    expect(page.get_by_label("Negative prompt")).to_have_value("a lighthouse")


def test_a_job_that_is_watched_turns_into_its_picture(site):
    anna = get_user_model().objects.get(username="anna")
    params = {"positive_prompt": "a boat", "width": 64, "height": 96}
    job = factories.job(Status.PENDING, owner=anna, generation_params=params)
    page = site.page_at(user="anna")
    page.goto(f"/jobs/{job.pk}")
    expect(page.locator("#job-show")).to_contain_text("Number 1 in the queue")
    with transaction.atomic():
        attempt = transitions.claim(job.pk, server_alias="gpu", lane=uuid.uuid4())
    expect(page.locator("#job-show progress")).to_be_visible()
    with transaction.atomic():
        factories.image(job, factories.png(64, 96), attempt=attempt.token, width=64, height=96)
        transitions.complete(attempt.token, generation_info={}, warnings=[])
    image = page.get_by_role("img", name="Picture 1 of 1")
    expect(image).to_have_js_property("naturalWidth", 64)


def test_delete_asks_and_leads_back_to_the_queue(site, job):
    page = site.page_at(user="anna")
    page.goto(f"/jobs/{job.pk}")
    page.locator("#job-facts").get_by_role("button", name="Delete").click()
    page.locator("#confirm").get_by_role("button", name="Delete").click()
    page.wait_for_url("**/")
    expect(page.locator("#toasts")).to_contain_text("Deleted.")
    expect(page.locator("#done li")).to_have_count(0)


def test_the_past_grows_while_it_is_read_and_stays_where_it_was_scrolled_to(site):
    anna = get_user_model().objects.get(username="anna")
    params = {"positive_prompt": "waves " * 400, "width": 64, "height": 96}
    job = factories.job(Status.PENDING, owner=anna, generation_params=params)
    page = site.page_at(PHONE, user="anna")
    page.goto(f"/jobs/{job.pk}")
    page.get_by_text("Log lines", exact=True).click()
    expect(page.locator("#job-log-lines")).to_contain_text("log")
    expect(page.locator("#job-log-lines")).not_to_contain_text("Reading")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    before = page.locator("#job-log").bounding_box()["y"]
    with transaction.atomic():
        attempt = transitions.claim(job.pk, server_alias="gpu", lane=uuid.uuid4())
    expect(page.locator("#job-steps")).to_contain_text("Attempt 1: gpu took it.")
    with transaction.atomic():
        ended = transitions.end_attempt(
            attempt.token,
            outcome="error",
            trouble=transitions.Trouble("no_images", "No picture came.", "Look there."),
        )
        transitions.fail(ended, transitions.Trouble("no_images", "No picture came."))
    expect(page.locator("#job-steps")).to_contain_text("No picture came.")
    expect(page.locator("#job-log")).to_have_attribute("open", "")
    expect(page.locator("#job-timeline")).to_have_attribute("open", "")
    assert abs(page.locator("#job-log").bounding_box()["y"] - before) < 60  # still under the thumb


def test_what_was_closed_stays_closed_when_something_happens(site):
    anna = get_user_model().objects.get(username="anna")
    job = factories.job(Status.PENDING, owner=anna)
    page = site.page_at(DESK, user="anna")
    page.goto(f"/jobs/{job.pk}")
    page.get_by_text("What happened").click()
    expect(page.locator("#job-steps")).to_be_hidden()
    with transaction.atomic():
        transitions.claim(job.pk, server_alias="gpu", lane=uuid.uuid4())
    expect(page.locator("#job-show progress")).to_be_visible()
    expect(page.locator("#job-steps")).to_be_hidden()


def test_the_parameters_are_copied_as_an_infotext(site):
    anna = get_user_model().objects.get(username="anna")
    job = factories.job(Status.PENDING, owner=anna)
    page = site.page_at(DESK, user="anna")
    page.goto(f"/jobs/{job.pk}")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.get_by_role("button", name="Copy as infotext").click()
    expect(page.locator("#toasts")).to_contain_text("Copied.")
    page.goto("/new")
    page.get_by_label("Negative prompt").focus()
    page.keyboard.press("Control+v")
    expect(page.get_by_label("Negative prompt")).to_have_value(
        "a lighthouse\nSteps: 4, Seed: 1, Size: 512x512"
    )
