"""The queue page while things happen: it moves by itself, and is right again after any break."""

import re
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone
from playwright.sync_api import expect

from apikeys.actors import Actor
from dispatch.models import Timing
from jobs import events, services, transitions
from jobs.choices import Outcome, Status
from jobs.models import Event, Job, JobProgress
from jobs.services import queue
from tests import factories
from tests.browser.conftest import DESK

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture
def anna(site):
    return get_user_model().objects.get(username="anna")


@pytest.fixture
def page(site):
    opened = site.page_at(user="anna")
    opened.evaluate("window.sameVisit = true")
    yield opened
    assert opened.evaluate("window.sameVisit") is True, "the page was loaded again"


def _submit(anna, prompt="a harbour at night"):
    params = {"positive_prompt": prompt, "width": 512, "height": 512, "seed": 1}
    return services.submit(services.Order(generation_params=params), Actor.of_user(anna)).job


def _claim(job):
    with transaction.atomic():
        return transitions.claim(job.pk, server_alias="gpu", lane=uuid.uuid4())


def _progress(job, attempt, seq, fraction):
    payload = events.JobProgressed(
        job=str(job.pk),
        attempt=str(attempt),
        seq=seq,
        progress=fraction,
        text=f"Step {seq} of 20",
        eta=12.0,
    )
    with transaction.atomic():
        events.emit_live("job.progress", payload, job_id=job.pk, owner_id=job.owner_id)


def _quiet(job, attempt, seconds):
    at = timezone.now() - timedelta(seconds=seconds)
    JobProgress.objects.update_or_create(
        job=job,
        defaults={"attempt": attempt.token, "seq": 5, "text": "Step 5 of 20", "updated_at": at},
    )


def _complete(job, attempt):
    with transaction.atomic():
        factories.image(job, factories.png(64, 64), attempt=attempt.token, width=64, height=64)
        transitions.complete(attempt.token, generation_info={}, warnings=[])


@pytest.mark.parametrize("where", ["the queue", "its page"])
def test_a_picture_that_stands_still_says_for_how_long_without_any_message(site, anna, where):
    job = _submit(anna)
    attempt = _claim(job)
    _quiet(job, attempt, 130)
    page = site.page_at(user="anna")
    page.clock.install()
    page.goto("/" if where == "the queue" else f"/jobs/{job.pk}")
    card = page.locator(f"[data-attempt='{attempt.token}']")
    expect(card).to_contain_text("Step 5 of 20, no sign of progress for 2 min")
    _quiet(job, attempt, 370)
    page.clock.fast_forward(120_000)
    expect(card).to_contain_text("no sign of progress for 6 min")


def test_a_job_goes_its_way_without_a_reload(page, anna):
    factories.server("gpu")
    job = _submit(anna)
    expect(page.locator("#waiting")).to_contain_text("a harbour at night")

    attempt = _claim(job)
    card = page.locator(f"#running [data-attempt='{attempt.token}']")
    expect(card).to_contain_text("a harbour at night")
    expect(page.locator("#waiting")).to_have_count(0)

    _progress(job, attempt.token, 5, 0.25)
    expect(card.locator("progress")).to_have_js_property("value", 0.25)
    expect(card).to_contain_text("25 % · Step 5 of 20")
    expect(card).to_contain_text("12 s left")

    _complete(job, attempt)
    expect(page.locator("#done img")).to_have_count(1)
    expect(page.locator("#running")).to_have_count(0)
    expect(page.locator("#done img")).to_have_js_property("naturalWidth", 64)


def test_progress_of_another_attempt_or_an_older_one_is_dropped(page, anna):
    job = _submit(anna)
    attempt = _claim(job)
    bar = page.locator("#running progress")
    expect(bar).to_have_count(1)
    _progress(job, attempt.token, 9, 0.5)
    expect(bar).to_have_js_property("value", 0.5)
    for attempt_sent, seq in ((uuid.uuid4(), 99), (attempt.token, 8)):
        _progress(job, attempt_sent, seq, 0.9)
        marker = _submit(anna, f"marker {seq}")  # when this shows, the one before has arrived
        expect(page.locator("#waiting")).to_contain_text(marker.prompt)
        expect(bar).to_have_js_property("value", 0.5)


def test_what_is_shown_stays_when_something_else_changes(page, anna):
    """A list that is read again keeps the cards that did not change, with focus and bar."""
    job = _submit(anna)
    attempt = _claim(job)
    button = page.locator("#running").get_by_role("button", name="Cancel")
    expect(button).to_have_count(1)
    _progress(job, attempt.token, 9, 0.5)
    expect(page.locator("#running progress")).to_have_js_property("value", 0.5)
    page.evaluate("document.querySelector('#running article').mark = 'same'")
    button.focus()
    _submit(anna, "another")
    expect(page.locator("#waiting")).to_contain_text("another")
    assert page.evaluate("document.querySelector('#running article').mark") == "same"
    expect(button).to_be_focused()
    expect(page.locator("#running progress")).to_have_js_property("value", 0.5)


def test_a_preview_appears_in_its_place(page, anna, settings):
    job = _submit(anna)
    attempt = _claim(job)
    image = page.locator("#running img.preview")
    expect(image).not_to_have_class(re.compile("there"))
    folder = settings.DATA_DIR / "previews"
    folder.mkdir(exist_ok=True)
    (folder / f"{job.pk}.png").write_bytes(factories.png(64, 64, "blue"))
    payload = events.JobPreview(
        job=str(job.pk),
        attempt=str(attempt.token),
        seq=3,
        url=f"/jobs/{job.pk}/preview?seq=3",
    )
    with transaction.atomic():
        events.emit_live("job.preview", payload, job_id=job.pk, owner_id=job.owner_id)
    expect(image).to_have_class(re.compile("there"))
    assert page.evaluate("document.querySelector('#running img.preview').naturalWidth") == 64


def test_the_reason_of_a_failure_appears(page, anna):
    attempt = _claim(_submit(anna))
    trouble = transitions.Trouble("out_of_memory", "It ran out of memory.", "Make it smaller.")
    with transaction.atomic():
        ended = transitions.end_attempt(attempt.token, outcome=Outcome.ERROR, trouble=trouble)
        transitions.fail(ended, trouble)
    expect(page.locator("#ended")).to_contain_text("It ran out of memory.")
    expect(page.locator("#ended")).to_contain_text("Make it smaller.")
    page.locator("#ended").get_by_role("button", name="Retry").click()
    expect(page.locator("#toasts")).to_contain_text("Back in the queue.")
    expect(page.locator("#waiting")).to_contain_text("a harbour at night")
    expect(page.locator("#ended li")).to_have_count(0)


def test_stopping_a_running_job_asks_first(page, anna):
    job = _submit(anna)
    _claim(job)
    cancel = page.locator("#running").get_by_role("button", name="Cancel")
    cancel.click()
    page.get_by_role("button", name="Let it run").click()
    assert Job.objects.get().status == Status.PROCESSING
    cancel.click()
    page.get_by_role("button", name="Stop it").click()
    expect(page.locator("#ended")).to_contain_text("Cancelled just now")
    assert Job.objects.get().status == Status.CANCELLED


def test_a_restart_of_the_server_heals_by_itself(site, page, anna):
    """The process dies; what happens meanwhile is there after one reconnect."""
    job = _submit(anna)
    attempt = _claim(job)
    expect(page.locator("#running article")).to_have_count(1)
    site.web.kill()
    expect(page.locator("#connection")).to_have_text("Connecting again…")
    _complete(job, attempt)
    later = _submit(anna, "made while nobody listened")
    site.web.start()
    expect(page.locator("#done img")).to_have_count(1)
    expect(page.locator("#waiting")).to_contain_text(later.prompt)
    expect(page.locator("#running")).to_have_count(0)
    expect(page.locator("#connection")).to_be_hidden()


def test_after_too_long_a_break_the_page_reads_everything_again(site, page, anna):
    """The events that it missed are gone: the server says reset."""
    job = _submit(anna)
    expect(page.locator("#waiting li")).to_have_count(1)
    site.web.kill()
    attempt = _claim(job)
    JobProgress.objects.create(
        job=job, attempt=attempt.token, seq=3, progress=0.7, updated_at=timezone.now()
    )
    newest = Event.objects.create(kind="server.status", public=True, at=timezone.now())
    Event.objects.filter(pk__lt=newest.pk).delete()
    site.web.start()
    expect(page.locator("#running progress")).to_have_js_property("value", 0.7)
    expect(page.locator("#waiting")).to_have_count(0)


def test_a_reset_over_an_open_socket_reads_everything_again(site, anna):
    page = site.page_at()
    sockets = []

    def between(route):
        route.connect_to_server()
        sockets.append(route)

    page.route_web_socket("**/ws/events/**", between)
    site.sign_in(page, "anna")
    with page.expect_request("**/queue/active"), page.expect_request("**/queue/done"):
        sockets[-1].send('{"type": "reset"}')


def test_a_list_that_could_not_be_read_is_read_again(page, anna):
    """One answer fails, without a break of the connection: no toast, and it heals by itself."""
    failed = []

    def once(route):
        failed.append(route)
        if len(failed) == 1:
            route.fulfill(status=503, body="")
        else:
            route.continue_()

    page.route("**/queue/active", once)
    _submit(anna)
    expect(page.locator("#waiting")).to_contain_text("a harbour at night")
    assert len(failed) == 2
    expect(page.locator("#toasts")).to_be_empty()


def test_a_phone_that_slept_shows_the_true_state_at_once(page, anna):
    """It wakes with a socket that is dead and does not know it."""
    job = _submit(anna)
    expect(page.locator("#waiting li")).to_have_count(1)
    page.evaluate(
        """() => {
          const state = { value: "hidden" };
          const get = () => state.value;
          Object.defineProperty(document, "visibilityState", { get, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
          const now = Date.now;
          Date.now = () => now() + 600000;
          WebSocket.prototype.addEventListener = ((plain) => function (kind, f) {
            window.sockets = (window.sockets ?? 0) + (kind === "message" ? 1 : 0);
            return plain.call(this, kind, f);
          })(WebSocket.prototype.addEventListener);
          state.value = "visible";
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    assert page.evaluate("window.sockets") == 1  # a new one, whatever the old one believed
    _claim(job)
    expect(page.locator("#running article")).to_have_count(1)


def test_the_page_of_a_job_that_is_deleted_elsewhere_leads_to_the_queue(site, anna):
    job = factories.job(Status.COMPLETED, owner=anna)
    page = site.page_at(DESK, user="anna")
    page.goto(f"/jobs/{job.pk}")
    services.delete(job.pk, Actor.of_user(anna))
    page.wait_for_url("**/")


def test_signing_out_elsewhere_leads_to_the_sign_in(site, anna):
    page = site.page_at(DESK, user="anna")
    Session.objects.all().delete()
    site.web.kill()
    site.web.start()
    page.wait_for_url("**/sign-in?next=%2F")
    expect(page.get_by_label("Password")).to_be_visible()


def test_more_pictures_come_by_scrolling_and_stay_when_a_new_one_arrives(page, site, anna):
    now = timezone.now()
    for n in range(30):
        job = factories.job(
            Status.COMPLETED, owner=anna, created_at=now - timezone.timedelta(hours=n + 1)
        )
        factories.image(job)
    page.evaluate("htmx.trigger('#done-section', 'refresh')")
    expect(page.locator("#done > li")).to_have_count(24)
    page.locator("#done-more").scroll_into_view_if_needed()
    expect(page.locator("#done > li")).to_have_count(30)
    job = _submit(anna)
    _complete(job, _claim(job))
    expect(page.locator("#done > li")).to_have_count(31)
    ids = page.evaluate("[...document.querySelectorAll('#done > li')].map((e) => e.id)")
    assert ids[0] == f"job-{job.pk}"
    assert len(set(ids)) == 31


# --- What is expected is worked out beside the page, and changes without an event


LATER = 30_000


@pytest.fixture
def known_server():
    row = factories.server(loaded_checkpoint="x")
    Timing.objects.create(server=row, checkpoint="x", runs=3, unit_seconds=600)


def test_the_end_of_the_queue_comes_by_itself(site, anna, known_server):
    factories.job(checkpoint="x", owner=anna)
    page = site.page_at(user="anna")
    expect(page.locator("#waiting-head .count")).to_contain_text("done in 10 min", timeout=LATER)
    expect(page.locator("[data-again]")).to_have_count(0, timeout=LATER)  # and then it is let alone


def test_a_waiting_jobs_page_tells_when_it_should_start_and_why_it_waits(site, anna, known_server):
    first, second = (factories.job(checkpoint="x", owner=anna) for _ in range(2))
    page = site.page_at(user="anna")
    page.goto(f"/jobs/{second.pk}")
    expect(page.locator("#job-show")).to_contain_text("Starts in 10 min", timeout=LATER)
    with transaction.atomic():
        queue.pause()
    expect(page.locator("#job-state")).to_contain_text("The queue is paused")
    expect(page.locator("#job-show")).not_to_contain_text("Starts")
    assert first.status == Status.PENDING
