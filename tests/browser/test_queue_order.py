"""The waiting list in a browser: moving, selecting, undoing, while the queue goes on."""

import uuid
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone
from playwright.sync_api import expect

from apikeys.actors import Actor
from jobs import services, transitions
from jobs.choices import Status
from jobs.models import Job
from tests import factories
from tests.browser.conftest import DESK, PHONE

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture
def anna(site):
    return get_user_model().objects.get(username="anna")


@pytest.fixture
def jobs(anna):
    return fill(anna, 6)


def fill(anna, count):
    rows = []
    for number in range(count):
        params = {"positive_prompt": f"picture {number}", "width": 512, "height": 512, "seed": 1}
        position = (number + 1) * 1_000_000
        rows.append(factories.job(owner=anna, generation_params=params, position=position))
    return rows


def order():
    return [int(job.prompt.split()[1]) for job in Job.objects.queued()]


def shown(page):
    rows = page.locator("#waiting > [data-entry]")
    return [int(text.split()[1]) for text in rows.evaluate_all("l => l.map(e => e.dataset.name)")]


def start(job):
    with transaction.atomic():
        transitions.claim(job.pk, server_alias="gpu", lane=uuid.uuid4())


def middle(locator):
    locator.scroll_into_view_if_needed()
    return where(locator)


def where(locator):
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def settled(page):
    page.wait_for_function(
        "() => { const before = window.wasAt; window.wasAt = scrollY; return before === scrollY; }",
        polling=100,
    )


def handle(page, number):
    return page.get_by_role("button", name=f"Move: picture {number}", exact=True)


class Finger:
    """One finger on the screen, as Chromium gets it from a touch screen."""

    def __init__(self, page):
        self._cdp = page.context.new_cdp_session(page)

    def put(self, x, y):
        self._send("touchStart", [{"x": x, "y": y}])

    def move(self, x, y):
        self._send("touchMove", [{"x": x, "y": y}])

    def lift(self):
        self._send("touchEnd", [])

    def _send(self, kind, points):
        self._cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_a_mouse_drags_a_job_to_another_place(site, jobs):
    page = site.page_at(DESK, user="anna")
    x, y = middle(handle(page, 4))
    _, above = middle(handle(page, 1))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 20)
    expect(page.locator(".ghost")).to_have_text("picture 4")
    page.mouse.move(x, above - 20, steps=4)
    page.mouse.up()
    expect(page.locator("#queue-says")).to_contain_text("Put down at place 2 of 6.")
    assert order() == shown(page) == [0, 4, 1, 2, 3, 5]


def test_a_long_press_drags_and_a_swipe_only_scrolls(site, jobs):
    page = site.page_at(PHONE, user="anna")
    page.clock.install()
    finger = Finger(page)
    x, y = middle(handle(page, 3))
    page.clock.pause_at(timezone.now() + timedelta(minutes=1))  # however slow this machine is
    finger.put(x, y)
    for step in range(1, 8):
        finger.move(x, y - 25 * step)
    finger.lift()
    assert page.locator(".ghost").count() == 0
    page.clock.resume()
    settled(page)  # a swipe goes on for a while after the finger has left
    # Both far from the edges of the screen, where a drag scrolls by itself for as long as it lasts.
    handle(page, 1).evaluate("e => e.scrollIntoView({block: 'center'})")
    (x, y), (_, target) = where(handle(page, 3)), where(handle(page, 0))
    assert 110 < target < y < PHONE[1] - 110
    finger.put(x, y)
    expect(page.locator(".ghost")).to_have_text("picture 3")
    before = page.evaluate("scrollY")
    finger.move(x, (y + target) / 2)
    finger.move(x, target - 14)
    finger.lift()
    expect(page.locator("#queue-says")).to_contain_text("Put down at place 1 of 6.")
    assert abs(page.evaluate("scrollY") - before) < 40  # the page stays where it is, but for layout
    assert order() == shown(page) == [3, 0, 1, 2, 4, 5]


def test_the_keyboard_moves_a_job_and_says_where_it_is(site, jobs):
    page = site.page_at(DESK, user="anna")
    says = page.locator("#queue-says")
    handle(page, 0).focus()
    page.keyboard.press("Space")
    expect(says).to_have_text("picture 0 picked up, place 1 of 6.")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(says).to_have_text("Place 3 of 6, before picture 3.")
    page.keyboard.press("Space")
    expect(says).to_have_text("Put down at place 3 of 6.")
    assert order() == shown(page) == [1, 2, 0, 3, 4, 5]
    expect(handle(page, 0)).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("End")
    page.keyboard.press("Escape")
    expect(says).to_have_text("Left where it was.")
    assert order() == [1, 2, 0, 3, 4, 5]


def test_a_drag_goes_on_while_other_jobs_start_and_come(site, anna, jobs):
    page = site.page_at(PHONE, user="anna")
    finger = Finger(page)
    x, y = middle(handle(page, 4))
    finger.put(x, y)
    expect(page.locator(".ghost")).to_have_count(1)
    finger.move(x, y - 30)
    start(jobs[0])
    expect(page.locator("#running")).to_contain_text("picture 0")
    services.patch(jobs[4].pk, Actor.of_user(anna), {"source_info": "changed"}, {})
    fill(anna, 7)[6].delete()
    page.evaluate("htmx.trigger('#active', 'refresh')")
    expect(page.locator("#waiting > [data-entry]")).to_have_count(11)
    expect(page.locator(".ghost")).to_have_text("picture 4")
    finger.move(x, y - 31)
    _, target = middle(handle(page, 1).first)
    finger.move(x, target - 14)
    finger.lift()
    expect(page.locator("#queue-says")).to_contain_text("Put down at place")
    numbers = order()
    assert numbers == shown(page)
    assert Job.objects.queued().filter(pk=jobs[4].pk).exists()
    before = [job.pk for job in Job.objects.queued()]
    assert before.index(jobs[4].pk) < before.index(jobs[3].pk)


def test_a_job_that_starts_while_it_is_dragged_ends_the_drag(site, jobs):
    page = site.page_at(DESK, user="anna")
    x, y = middle(handle(page, 2))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 40, steps=3)
    expect(page.locator(".ghost")).to_have_count(1)
    start(jobs[2])
    expect(page.locator("#queue-says")).to_have_text("It does not wait any more.")
    expect(page.locator(".ghost, body.dragging")).to_have_count(0)
    page.mouse.up()
    assert order() == [0, 1, 3, 4, 5]


def test_a_move_that_is_refused_puts_the_list_right(site, jobs):
    page = site.page_at(DESK, user="anna")
    page.route("**/queue/move", lambda route: route.abort())
    handle(page, 0).focus()
    for key in ("Space", "End", "Space"):
        page.keyboard.press(key)
    expect(page.locator("#toasts")).to_contain_text("can't be reached")
    assert shown(page) == order() == [0, 1, 2, 3, 4, 5]


def test_two_pages_show_the_same_order_after_both_moved(site, jobs):
    first, second = site.page_at(DESK, user="anna"), site.page_at(PHONE, user="anna")
    for page, number in ((first, 5), (second, 4)):
        handle(page, number).focus()
        for key in ("Space", "Home", "Space"):
            page.keyboard.press(key)
        expect(page.locator("#queue-says")).to_contain_text("Put down")
        for other in (first, second):
            top = other.locator("#waiting > [data-entry]").first
            expect(top).to_contain_text(f"picture {number}")
    assert shown(first) == shown(second) == order() == [4, 5, 0, 1, 2, 3]


def test_the_selected_ones_are_moved_and_cancelled_together_and_brought_back(site, jobs):
    page = site.page_at(PHONE, user="anna")
    page.get_by_role("button", name="Select", exact=True).click()
    for number in (2, 4):
        page.get_by_label(f"Select: picture {number}").check()
    expect(page.locator("#many")).to_contain_text("2 selected")
    start(jobs[0])  # the list is read again: what is selected stays selected
    expect(page.locator("#running")).to_contain_text("picture 0")
    expect(page.locator("#many")).to_contain_text("2 selected")
    page.get_by_role("button", name="Move to the top").click()
    expect(page.locator("#toasts")).to_contain_text("2 jobs moved to the top.")
    expect(page.locator("#waiting > [data-entry]").first).to_contain_text("picture 2")
    assert order() == [2, 4, 1, 3, 5]
    page.get_by_role("button", name="Cancel what is selected").click()
    expect(page.locator("#toasts")).to_contain_text("2 jobs cancelled.")
    expect(page.locator("#waiting > [data-entry]")).to_have_count(3)
    expect(page.locator("#many")).to_contain_text("Select jobs")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#toasts")).to_contain_text("2 jobs brought back.")
    expect(page.locator("#waiting > [data-entry]")).to_have_count(5)
    assert order() == [2, 4, 1, 3, 5]


def test_undo_works_by_keyboard_and_is_announced(site, jobs):
    page = site.page_at(DESK, user="anna")
    page.get_by_role("link", name="More: picture 1").click()
    page.locator("#row-menu").get_by_role("button", name="Cancel").click()
    toast = page.locator("#toasts")
    expect(toast).to_have_attribute("aria-live", "polite")
    expect(toast).to_contain_text("Undo with Control Z, for 10 seconds")
    assert Job.objects.get(pk=jobs[1].pk).status == Status.CANCELLED
    page.keyboard.press("Control+z")
    expect(toast).to_contain_text("1 job brought back.")
    assert order() == [0, 1, 2, 3, 4, 5]


def test_five_hundred_jobs_are_there_at_once_and_more_by_a_button(site, anna):
    params = {"positive_prompt": "picture 1", "width": 512, "height": 512}
    plain = factories.job(owner=anna, generation_params=params)
    Job.objects.bulk_create(
        Job(
            app_type="forge",
            owner=anna,
            generation_params=params,
            position=plain.position + number,
            created_at=plain.created_at,
            updated_at=plain.created_at,
        )
        for number in range(499)
    )
    page = site.page_at(PHONE, user="anna")
    rows = page.locator("#waiting > [data-entry]")
    expect(rows).to_have_count(30)
    assert page.evaluate("document.querySelectorAll('*').length") < 1_500
    page.locator("#waiting-more").click()
    expect(rows).to_have_count(90)
    page.evaluate("htmx.trigger('#active', 'refresh')")
    with page.expect_response("**/queue/active?shown=90"):
        pass
    expect(rows).to_have_count(90)
