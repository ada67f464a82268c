"""Five hundred waiting jobs on a phone, all of them shown: a drag, a menu, and all selected."""

import re

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import expect

from jobs.models import Job
from tests import factories
from tests.browser.conftest import PHONE
from tests.browser.test_queue_order import Finger, handle, settled, shown, where

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
COUNT = 500


@pytest.fixture
def long_queue(site):
    """Five hundred jobs of the signed-in user, as rows "picture 0" to "picture 499"."""
    anna = get_user_model().objects.get(username="anna")
    first = factories.job(owner=anna, generation_params=_params(0), position=1_000_000)
    Job.objects.bulk_create(
        Job(
            app_type="forge",
            owner=anna,
            generation_params=_params(number),
            position=first.position + 1_000_000 * number,
            created_at=first.created_at,
            updated_at=first.created_at,
        )
        for number in range(1, COUNT)
    )


def _params(number):
    return {"positive_prompt": f"picture {number}", "width": 512, "height": 512, "seed": 1}


@pytest.fixture
def page(site, long_queue):
    page = site.page_at(PHONE, user="anna")
    page.goto(f"/?shown={COUNT}")
    expect(page.locator("#waiting > [data-entry]")).to_have_count(COUNT)
    return page


def order():
    return [int(job.prompt.split()[1]) for job in Job.objects.queued()]


def drag(page, number, *, before):
    """Drag a row by a long press to the place before another one that is on the screen, too."""
    handle(page, before).evaluate("e => e.scrollIntoView({block: 'center'})")
    settled(page)
    finger = Finger(page)
    (x, y), (_, target) = where(handle(page, number)), where(handle(page, before))
    finger.put(x, y)
    expect(page.locator(".ghost")).to_have_text(f"picture {number}")
    finger.move(x, (y + target) / 2)
    finger.move(x, target - 14)
    finger.lift()
    expect(page.locator("#queue-says")).to_contain_text("Put down at place")


def test_a_row_far_down_is_dragged(page):
    drag(page, 402, before=400)
    wanted = [*range(400), 402, 400, 401, *range(403, COUNT)]
    assert order() == wanted
    expect(page.locator("#job-" + str(Job.objects.queued()[400].pk))).to_contain_text("picture 402")
    assert shown(page) == wanted


def test_the_menu_of_a_row_far_down_takes_it_to_the_top(page):
    page.get_by_role("link", name="More: picture 300", exact=True).click()
    page.locator("#row-menu").get_by_role("button", name="To the top").click()
    expect(page.locator("#toasts")).to_contain_text("Moved.")
    expect(page.locator("#waiting > [data-entry]").first).to_contain_text("picture 300")
    assert order() == shown(page) == [300, *range(300), *range(301, COUNT)]


def test_all_of_them_are_selected_and_get_a_priority_at_once(page):
    page.get_by_role("button", name="Select", exact=True).click()
    page.get_by_role("button", name="All shown").click()
    expect(page.locator("#many")).to_contain_text(f"{COUNT} selected")
    page.get_by_label("Priority", exact=True).select_option("2")
    page.get_by_role("button", name="Set the priority").click()
    expect(page.locator("#toasts")).to_contain_text(re.compile(f"Priority 2 for {COUNT} jobs"))
    assert set(Job.objects.values_list("priority", flat=True)) == {2}
    expect(page.locator("#waiting .level").last).to_have_text("Priority 2")
