"""The queue page: what a person sees of their jobs, and what the buttons do."""

import json
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.choices import Status
from jobs.models import Event, Job, JobProgress
from tests import factories
from tests.pages.conftest import HTMX


def _job(owner, status=Status.PENDING, prompt="a lighthouse", **fields):
    params = {"positive_prompt": prompt, "width": 512, "height": 768, "seed": 1}
    return factories.job(status, owner=owner, generation_params=params, **fields)


def _running(owner, progress=0.46, **fields):
    job = _job(owner, Status.PROCESSING, server_alias="gpu", **fields)
    attempt = factories.attempt(job)
    JobProgress.objects.create(
        job=job,
        attempt=attempt.token,
        seq=9,
        progress=progress,
        text="Step 13 of 28",
        eta_seconds=90,
        updated_at=timezone.now(),
    )
    return job, attempt


def test_an_empty_queue_leads_to_a_new_picture(browser):
    page = browser.get("/").text
    assert "Nothing is running or waiting." in page
    assert 'href="/new"' in page
    assert "Your pictures will appear here." in page


def test_a_running_job_shows_bar_step_and_time_left(browser, member):
    job, attempt = _running(member)
    page = browser.get("/").text
    assert f'data-attempt="{attempt.token}"' in page
    assert '<progress max="1" value="0.4600" aria-label="Progress">' in page
    assert "Step 13 of 28" in page
    assert "1 min 30 s left" in page or "1 min 29 s left" in page
    assert f'src="/jobs/{job.pk}/preview"' in page
    assert 'width="512" height="768"' in page  # its place is kept free


def test_a_run_without_a_sign_of_progress_says_for_how_long(browser, member):
    job, _ = _running(member)
    words = "Step 13 of 28, no sign of progress for 6 min"
    JobProgress.objects.update(updated_at=timezone.now() - timedelta(seconds=370))
    for path in ("/", f"/jobs/{job.pk}"):
        assert words in browser.get(path).text
    JobProgress.objects.update(updated_at=timezone.now())
    assert "no sign of progress" not in browser.get("/").text


def test_progress_of_an_ended_attempt_is_not_shown(browser, member):
    job, attempt = _running(member)
    attempt.ended_at = timezone.now()
    attempt.save()
    second = factories.attempt(job)
    page = browser.get("/").text
    assert f'data-attempt="{second.token}"' in page
    assert "Step 13 of 28" not in page


def test_waiting_jobs_show_their_place_and_the_reason(browser, member):
    factories.server("gpu", health="offline", health_text="Nothing answers there.")
    _job(factories.user("other"), position=1)
    _job(member, prompt="mine", position=2)
    page = browser.get("/").text
    assert 'data-place="2"' in page  # the other one counts, though it is not shown
    assert "Nothing answers there." in page
    assert "a lighthouse" not in page


def test_a_failed_job_says_why_and_what_to_do(browser, member):
    _job(
        member,
        Status.FAILED,
        error_code="out_of_memory",
        error_message="The graphics card ran out of memory.",
        error_hint="Make the picture smaller.",
    )
    page = browser.get("/").text
    assert "The graphics card ran out of memory." in page
    assert "Make the picture smaller." in page
    assert "Retry" in page


def test_a_done_job_shows_its_picture_and_how_many_there_are(browser, member):
    job = _job(member, Status.COMPLETED)
    first = factories.image(job)
    factories.image(job)
    page = browser.get("/").text
    assert f"/api/v1/gallery/images/{first.pk}/thumbnail?size=512" in page
    assert '<span class="tile-count">2</span>' in page


def test_a_prompt_is_text_never_markup(browser, member):
    _job(member, prompt='<script>alert(1)</script>" onload="x')
    page = browser.get("/").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


def test_nobody_sees_the_jobs_of_somebody_else(browser):
    other = factories.user()
    for status in Status.values:
        _job(other, status, prompt="secret")
    for path in ("/", "/queue/active", "/queue/ended", "/queue/done"):
        assert "secret" not in browser.get(path).text


def test_staff_see_all_jobs(staff_browser):
    _job(factories.user(), prompt="somebody's")
    assert "somebody&#x27;s" in staff_browser.get("/").text


def test_deleted_jobs_are_not_shown(browser, member):
    _job(member, Status.COMPLETED, prompt="gone", deleted_at=timezone.now())
    assert "gone" not in browser.get("/").text


def test_more_done_jobs_follow_by_cursor_without_gap_or_repeat(browser, member):
    now = timezone.now()
    for n in range(50):
        _job(member, Status.COMPLETED, f"picture-{n:02d}.", created_at=now - timedelta(seconds=n))
    seen, address = [], "/queue/done"
    while address:
        part = browser.get(address, headers=HTMX).text
        seen += [n for n in range(50) if f'tile-text" aria-hidden="true">picture-{n:02d}.' in part]
        _, found, rest = part.partition('hx-get="')
        address = rest.partition('"')[0].replace("&amp;", "&") if found else ""
    assert seen == list(range(50))


def test_the_page_names_the_event_it_was_made_at(browser, member):
    Event.objects.create(kind="job.status", public=True, at=timezone.now())
    page = browser.get("/").text
    assert f'data-live-after="{Event.objects.last_id()}"' in page


def test_the_number_of_queries_does_not_grow_with_the_jobs(
    browser, member, django_assert_max_num_queries
):
    factories.server("gpu")
    for status in Status.values:
        for _ in range(6):
            factories.image(_job(member, status))
    for _ in range(3):
        _running(member)
    browser.get("/")
    with django_assert_max_num_queries(36):
        browser.get("/")


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        ("cancel", Status.PENDING, Status.CANCELLED),
        ("cancel", Status.PROCESSING, Status.CANCELLED),
        ("retry", Status.FAILED, Status.PENDING),
    ],
)
def test_a_button_does_it_and_says_so(browser, member, action, before, after):
    job = _job(member, before)
    answer = browser.post(f"/jobs/{job.pk}/{action}", headers=HTMX)
    assert answer.status_code == 204
    told = json.loads(answer.headers["HX-Trigger"])
    assert told["toast"]["text"]
    assert "changed" in told
    job.refresh_from_db()
    assert job.status == after


def test_the_buttons_work_without_scripts(browser, member):
    job = _job(member)
    answer = browser.post(f"/jobs/{job.pk}/cancel", follow=True)
    assert answer.redirect_chain == [("/", 303)]
    assert "Cancelled." in answer.text


def test_delete_hides_the_job(browser, member):
    job = _job(member, Status.COMPLETED)
    assert browser.post(f"/jobs/{job.pk}/delete", headers=HTMX).status_code == 204
    assert Job.objects.get(pk=job.pk).deleted_at is not None


def test_delete_on_the_jobs_own_page_leaves_it(browser, member):
    job = _job(member, Status.COMPLETED)
    answer = browser.post(f"/jobs/{job.pk}/delete", {"leave": "1"}, headers=HTMX)
    assert answer.headers["HX-Redirect"] == "/"


def test_what_is_not_possible_now_is_said_in_a_toast(browser, member):
    job = _job(member, Status.COMPLETED)
    answer = browser.post(f"/jobs/{job.pk}/cancel", headers=HTMX)
    assert answer.status_code == 409
    toast = json.loads(answer.headers["HX-Trigger"])["toast"]
    assert toast == {
        "text": "The job can't be cancelled: it is already completed.",
        "hint": "Look at the job again: it may have changed meanwhile.",
        "kind": "error",
    }


@pytest.mark.parametrize("action", ["cancel", "retry", "delete"])
def test_the_job_of_somebody_else_is_not_there(browser, action):
    job = _job(factories.user(), Status.FAILED)
    assert browser.post(f"/jobs/{job.pk}/{action}").status_code == 404
    assert browser.post(f"/jobs/{uuid.uuid4()}/{action}").status_code == 404
    job.refresh_from_db()
    assert (job.status, job.deleted_at) == (Status.FAILED, None)


@pytest.mark.parametrize("action", ["cancel", "retry", "delete"])
def test_a_link_changes_nothing(browser, member, action):
    job = _job(member)
    assert browser.get(f"/jobs/{job.pk}/{action}").status_code == 405
    job.refresh_from_db()
    assert job.status == Status.PENDING


def test_a_wrong_cursor_is_refused_in_words(browser):
    answer = browser.get("/queue/done?cursor=rubbish")
    assert answer.status_code == 400
    assert "cursor must be a next_cursor" in answer.text
