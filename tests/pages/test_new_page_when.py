"""When a job of the New page is to run: priority, lane, times, and the jobs that it waits for."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from jobs.choices import Status
from jobs.models import Job, JobDependency
from tests import factories
from tests.pages.conftest import HTMX
from tests.pages.test_new_page import TYPED


def _send(browser, **fields):
    return browser.post("/new", {**TYPED, **fields}, headers=HTMX)


def _needs(job):
    return {row.parent_id: row.on_failure for row in JobDependency.objects.filter(job=job)}


def test_priority_and_lane_are_the_jobs(browser):
    _send(browser, priority="2", lane="background")
    job = Job.objects.get()
    assert (job.priority, job.lane_class) == (2, "background")


def test_unsaid_a_job_is_a_normal_one(browser):
    _send(browser)
    job = Job.objects.get()
    assert (job.priority, job.lane_class, job.not_before, job.deadline) == (
        5,
        "interactive",
        None,
        None,
    )


def test_times_are_those_of_the_device(browser):
    _send(
        browser,
        not_before="2099-01-31T23:00",
        offset_not_before="-60",  # Berlin's winter
        deadline="2099-07-01T07:00",
        offset_deadline="-120",  # and its summer
    )
    job = Job.objects.get()
    assert job.not_before == datetime(2099, 1, 31, 22, tzinfo=UTC)
    assert job.deadline == datetime(2099, 7, 1, 5, tzinfo=UTC)


def test_a_job_waits_for_others(browser, member):
    first, second = factories.job(owner=member), factories.job(Status.PROCESSING, owner=member)
    _send(
        browser,
        need_job=[str(first.pk), str(second.pk)],
        need_on_failure=["cancel", "run"],
    )
    job = Job.objects.exclude(pk__in=[first.pk, second.pk]).get()
    assert _needs(job) == {first.pk: "cancel", second.pk: "run"}


def test_each_job_of_a_batch_waits_as_well(browser, member):
    first = factories.job(owner=member)
    _send(browser, quantity="2", need_job=[str(first.pk)], need_on_failure=["cancel"])
    made = Job.objects.exclude(pk=first.pk)
    assert [_needs(job) for job in made] == [{first.pk: "cancel"}] * 2


def test_a_picture_yet_to_be_made_is_started_from(browser, member):
    first = factories.job(owner=member)
    _send(browser, init_source=str(first.pk))
    job = Job.objects.exclude(pk=first.pk).get()
    assert job.kind == "img2img"
    assert job.generation_params["init_images"] == [{"job": str(first.pk), "image": 0}]
    assert job.generation_params["denoising_strength"] == 0.6
    assert _needs(job) == {first.pk: "cancel"}


def _past() -> str:
    return (timezone.now() - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"priority": "11"}, "priority", "The priority must be from 1 (first) to 10, not 11."),
        ({"priority": "high"}, "priority", "The priority must be a number"),
        ({"lane": "fast"}, "lane", "The lane must be"),
        ({"not_before": "tonight"}, "not_before", "The earliest start must be a date and a time."),
        (
            {"not_before": "2099-01-31T23:00", "offset_not_before": "9" * 9},
            "not_before",
            "The earliest start must be a date and a time.",
        ),
        ({"deadline": _past()}, "deadline", "The deadline has passed already."),
        (
            {"not_before": "2099-01-31T23:00", "deadline": "2099-01-31T22:00"},
            "deadline",
            "The deadline must be later than the earliest start.",
        ),
        ({"need_job": ["x"], "need_on_failure": ["cancel"]}, "needs", "must be the id of a job"),
        (
            {"need_job": [str(uuid.UUID(int=7))], "need_on_failure": ["cancel"]},
            "needs",
            "The list of jobs to wait for names no job",
        ),
        (
            {"need_job": [str(uuid.UUID(int=7))], "need_on_failure": ["sulk"]},
            "needs",
            "must be cancel or run",
        ),
    ],
)
@pytest.mark.parametrize("quantity", ["1", "2"])
def test_an_error_stands_at_its_field_and_nothing_is_written(
    browser, change, field, words, quantity
):
    answer = _send(browser, quantity=quantity, **change)
    assert answer.status_code == 422
    _, _, rest = answer.text.partition(f'id="error-{field}"')
    assert words in rest.partition("</p>")[0]
    assert not Job.objects.exists()


def test_the_job_of_somebody_else_is_not_waited_for(browser):
    other = factories.job(owner=factories.user())
    answer = _send(browser, need_job=[str(other.pk)], need_on_failure=["cancel"])
    assert "names no job" in answer.text
    assert "is not there any more" in _send(browser, init_source=str(other.pk)).text
    assert Job.objects.get() == other


def test_a_job_that_failed_is_told_with_what_to_do(browser, member):
    failed = factories.job(Status.FAILED, owner=member)
    answer = _send(browser, need_job=[str(failed.pk)], need_on_failure=["cancel"])
    assert answer.status_code == 422
    assert "The list of jobs to wait for names a job that is failed." in answer.text
    assert "let this one run all the same" in answer.text


def test_without_scripts_what_was_typed_stays(browser, member):
    parent = factories.job(owner=member)
    typed = {
        "width": "7",
        "priority": "2",
        "lane": "background",
        "not_before": "2099-01-31T23:00",
        "need_job": [str(parent.pk)],
        "need_on_failure": ["run"],
        "init_source": str(parent.pk),
    }
    page = browser.post("/new", {**TYPED, **typed}).text
    assert '<details class="part" id="when" open>' in page
    for part in (
        '<option value="2" selected>',
        '<option value="background" selected>',
        'value="2099-01-31T23:00"',
        f'name="need_job" value="{parent.pk}"',
        '<option value="run" selected>',
        f'name="init_source" id="init-source" value="{parent.pk}"',
        "The picture of: a lighthouse",
    ):
        assert part in page, part


# --- Choosing a job ---------------------------------------------------------------------------


def test_the_jobs_to_choose_from_are_ones_own_that_are_not_done(browser, member):
    waiting, running = factories.job(owner=member), factories.job(Status.PROCESSING, owner=member)
    done, other = factories.job(Status.COMPLETED, owner=member), factories.job()
    part = browser.get("/jobs/pick", headers=HTMX).text
    assert f'data-job="{waiting.pk}"' in part
    assert f'data-job="{running.pk}"' in part
    assert str(done.pk) not in part
    assert str(other.pk) not in part


def test_the_jobs_to_choose_from_are_found_by_words(browser, member):
    for prompt in ("a castle", "a dog"):
        _send(browser, prompt=prompt)
    part = browser.get("/jobs/pick", {"q": "castle"}, headers=HTMX).text
    assert "a castle" in part
    assert "a dog" not in part
    none = browser.get("/jobs/pick", {"q": "unicorn"}, headers=HTMX).text
    assert "No job that waits or runs has these words." in none


def test_words_that_can_not_be_searched_for_are_told_in_the_list(browser):
    answer = browser.get("/jobs/pick", {"q": '"'}, headers=HTMX)
    assert answer.status_code == 200
    assert "The search has no word to search for." in answer.text


def test_many_jobs_to_choose_from_come_in_parts(browser, member):
    for _ in range(31):
        factories.job(owner=member)
    part = browser.get("/jobs/pick", headers=HTMX).text
    assert part.count("data-job=") == 30
    address = part.partition('hx-get="')[2].partition('"')[0].replace("&amp;", "&")
    assert browser.get(address, headers=HTMX).text.count("data-job=") == 1
