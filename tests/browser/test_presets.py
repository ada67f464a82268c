"""Presets in a browser: saved from what was typed, used again, and the rest stays typed."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from jobs.models import Preset
from tests.browser.conftest import DESK

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
SHOTS = os.environ.get("MOBILESD_TEST_SHOTS")


def shot(page, name):
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def test_a_preset_is_saved_from_the_form_and_fills_it_again(site):
    page = site.page_at(user="anna")
    page.goto("/new")
    page.get_by_label("Prompt", exact=True).fill("a quiet harbour")
    page.get_by_label("Steps", exact=True).fill("31")
    page.get_by_role("button", name="Save…").click()
    shot(page, "new-save-phone")
    page.get_by_label("Name", exact=True).fill("Harbour")
    page.locator("#preset-sheet").get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved as “Harbour”.")).to_be_visible()
    expect(page.locator("#preset-sheet")).to_be_hidden()
    preset = Preset.objects.get()
    assert preset.generation_params["steps"] == 31
    Preset.objects.update(generation_params={"steps": 9})

    page.get_by_label("Prompt", exact=True).fill("something else")
    page.goto("/presets/")
    shot(page, "presets-phone")
    page.get_by_role("link", name="Use").click()
    expect(page.get_by_label("Steps", exact=True)).to_have_value("9")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("something else")
    shot(page, "new-preset-phone")


def test_the_page_lists_shares_and_deletes(site):
    page = site.page_at(DESK, user="anna")
    page.goto("/presets/")
    expect(page.get_by_text("There is no preset yet.")).to_be_visible()
    shot(page, "presets-empty-desk")
    page.goto("/new")
    page.get_by_label("Prompt", exact=True).fill("a quiet harbour")
    page.get_by_role("button", name="Save…").click()
    page.get_by_label("Name", exact=True).fill("Harbour")
    page.locator("#preset-sheet").get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved as “Harbour”.")).to_be_visible()
    page.goto("/presets/")
    page.get_by_role("button", name="Share").click()
    expect(page.get_by_role("button", name="Stop sharing")).to_be_visible()
    shot(page, "presets-desk")
    page.get_by_role("button", name="Delete").click()
    page.locator("#confirm").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("There is no preset yet.")).to_be_visible()
