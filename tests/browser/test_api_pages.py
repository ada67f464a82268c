"""The API's pages in a real browser: Swagger UI and DRF's forms, under their tight policies."""

import json

import pytest
from playwright.sync_api import expect

from jobs.models import Job
from tests.browser.conftest import DESK

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_anybody_can_read_the_document_and_nothing_comes_from_elsewhere(site):
    page = site.page_at(DESK)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/api/docs/")
    expect(page.get_by_role("heading", name="MobileSD").first).to_be_visible()
    page.get_by_text("Submit a job.", exact=True).first.wait_for()
    assert asked and all(url.startswith((site.web.url, "data:")) for url in asked)


def test_who_is_signed_in_can_try_an_operation_without_a_key(site):
    page = site.page_at(DESK, user="anna")
    page.goto("/api/docs/#/Jobs/generate")
    block = page.locator("#operations-Jobs-generate")
    block.locator("textarea").first.fill(
        json.dumps({"generation_params": {"positive_prompt": "a lighthouse"}})
    )
    block.get_by_role("button", name="Execute").click()
    answer = block.locator(".live-responses-table tbody .response-col_status").first
    expect(answer).to_contain_text("202")
    assert Job.objects.get().prompt == "a lighthouse"


def test_a_form_of_drfs_page_submits_a_job(site):
    page = site.page_at(DESK, user="anna")
    page.goto("/api/v2/generate")
    page.locator("textarea[name=_content]").fill('{"generation_params": {"positive_prompt": "x"}}')
    page.get_by_role("button", name="POST", exact=True).click()
    expect(page.get_by_text("HTTP 202 Accepted")).to_be_visible()
    assert Job.objects.get().prompt == "x"
