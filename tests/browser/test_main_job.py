"""The main job, as a person with a phone does it, through all the real processes."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import PHONE
from tests.processes.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.xdist_group("browser")]

PASSWORD = "correct horse"
MINUTE = 60_000


def test_sign_in_submit_watch_the_bar_and_see_the_picture(
    install: Callable[..., Installation], chromium: Browser
) -> None:
    with install() as inst:
        inst.create_user("anna", PASSWORD)
        inst.fake("gpu", seconds=8)
        context = chromium.new_context(
            viewport={"width": PHONE[0], "height": PHONE[1]},
            is_mobile=True,
            has_touch=True,
            base_url=inst.url,
        )
        page = context.new_page()
        page.set_default_timeout(MINUTE)

        page.goto("/")
        page.get_by_label("Name").fill("anna")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").tap()
        page.get_by_role("link", name="New", exact=True).tap()

        page.get_by_label("Prompt", exact=True).fill("a lighthouse at dusk")
        page.get_by_label("Width", exact=True).fill("128")
        page.get_by_label("Height", exact=True).fill("192")
        page.get_by_role("button", name="Make it").tap()

        card = page.locator("#running article")
        expect(card).to_contain_text("a lighthouse at dusk", timeout=MINUTE)
        page.evaluate("window.sameVisit = true")
        values = _watch_the_bar(page)
        assert len(values) >= 4, values
        assert values == sorted(values), "a bar goes forward"

        tile = page.locator("#done img")
        expect(tile).to_have_js_property("complete", True)
        assert page.evaluate("window.sameVisit"), "it came without a reload"
        page.locator("#done a").tap()
        picture = page.get_by_role("img", name="Picture 1 of 1")
        expect(picture).to_have_js_property("naturalWidth", 128, timeout=MINUTE)
        expect(page.locator(".facts")).to_contain_text("128 × 192")
        context.close()


def _watch_the_bar(page) -> list[float]:
    """Return the different values of the bar until the job has ended."""
    return page.evaluate(
        """() => new Promise((resolve) => {
          const seen = [];
          const look = setInterval(() => {
            const bar = document.querySelector("#running progress");
            if (bar && seen.at(-1) !== bar.value) seen.push(bar.value);
            if (document.querySelector("#done img")) {
              clearInterval(look);
              resolve(seen);
            }
          }, 20);
        })"""
    )
