"""The page of a job: pictures, parameters, attempts, and how far it is."""

import re
import uuid

import pytest
from django.utils import timezone

from dispatch.models import Timing
from jobs.choices import Outcome, Status
from jobs.inputs import input_store
from jobs.models import Job
from tests import factories
from tests.pages.conftest import HTMX

PARAMS = {
    "positive_prompt": "a lighthouse & <storm>",
    "negative_prompt": "blurry",
    "checkpoint_name": "nice.safetensors",
    "width": 512,
    "height": 768,
    "steps": 20,
    "seed": 18446744073709551615,
    "loras": [{"name": "grain", "weight": 0.5}],
    "init_images": [{"$input": "ab" * 32, "mime": "image/png", "bytes": 2_200_000, "form": "raw"}],
    "strange_key": {"a": [1, 2]},
}


def _job(owner, status=Status.COMPLETED, **fields):
    return factories.job(status, owner=owner, generation_params=PARAMS, **fields)


def test_all_pictures_are_shown_with_their_size_and_a_download(browser, member):
    job = _job(member)
    images = [factories.image(job, seed=str(7 + n)) for n in range(2)]
    page = browser.get(f"/jobs/{job.pk}").text
    for image in images:
        assert f'src="/api/v1/gallery/images/{image.pk}/file"' in page
        assert f'data-name="{image.filename}"' in page
    assert 'width="8" height="8"' in page
    assert f'href="/new?init={images[0].pk}"' in page


def test_all_parameters_are_told(browser, member):
    page = browser.get(f"/jobs/{_job(member).pk}").text
    for text in (
        "a lighthouse &amp; &lt;storm&gt;",
        "nice.safetensors",
        "512 × 768",
        "18446744073709551615",
        "grain × 0.5",
        "image/png, 2.1 MB",
        "strange key",
        "a: 1, 2",
    ):
        assert text in page
    assert "abab" not in page  # the hash is ours alone


def test_the_prompt_can_be_copied(browser, member):
    page = browser.get(f"/jobs/{_job(member).pk}").text
    assert 'data-copy="a lighthouse &amp; &lt;storm&gt;"' in page


def test_warnings_are_shown(browser, member):
    job = _job(member, warnings=["The sampler was replaced by Euler."])
    assert "The sampler was replaced by Euler." in browser.get(f"/jobs/{job.pk}").text


def test_a_failed_job_shows_its_attempts(browser, member):
    job = _job(member, Status.FAILED, error_message="It went wrong.", error_hint="Do this.")
    factories.attempt(
        job,
        server_alias="gpu",
        ended_at=timezone.now(),
        outcome=Outcome.STALLED,
        error_message="Nothing moved for 5 minutes.",
    )
    page = browser.get(f"/jobs/{job.pk}").text
    for text in ("It went wrong.", "Do this.", "It stopped moving", "Nothing moved for 5 minutes."):
        assert text in page


def test_a_running_job_shows_bar_and_preview(browser, member):
    job = _job(member, Status.PROCESSING, server_alias="gpu")
    attempt = factories.attempt(job)
    page = browser.get(f"/jobs/{job.pk}").text
    assert f'data-attempt="{attempt.token}"' in page
    assert f'data-watch="{job.pk}"' in page
    assert "<progress" in page
    assert f'src="/jobs/{job.pk}/preview"' in page


@pytest.mark.parametrize(
    ("status", "offered", "missing"),
    [
        (Status.PENDING, ["cancel", "delete"], ["retry"]),
        (Status.PROCESSING, ["cancel"], ["retry", "delete"]),
        (Status.COMPLETED, ["delete"], ["retry", "cancel"]),
        (Status.FAILED, ["retry", "delete"], ["cancel"]),
        (Status.CANCELLED, ["retry", "delete"], ["cancel"]),
    ],
)
def test_only_what_is_possible_is_offered(browser, member, status, offered, missing):
    file = input_store().path("ab" * 32)
    file.parent.mkdir(parents=True)
    file.write_bytes(factories.png())
    job = _job(member, status)
    page = browser.get(f"/jobs/{job.pk}").text
    for action in offered:
        assert f'action="/jobs/{job.pk}/{action}"' in page
    for action in missing:
        assert f'action="/jobs/{job.pk}/{action}"' not in page


def test_rejected_pictures_are_kept_apart(browser, member):
    job = _job(member, Status.FAILED)
    image = factories.image(job, rejected=True)
    page = browser.get(f"/jobs/{job.pk}").text
    assert "1 rejected picture" in page
    assert f'href="/images/{image.pk}"' in page
    assert "data-viewer" not in page


def test_an_open_page_gets_the_part_that_changes(browser, member):
    job = _job(member)
    part = browser.get(f"/jobs/{job.pk}", headers=HTMX).text
    assert "<html" not in part
    assert 'id="job-facts"' in part


@pytest.mark.parametrize("status", Status.values)
def test_the_job_of_somebody_else_is_not_there(browser, status):
    job = _job(factories.user(), status)
    assert browser.get(f"/jobs/{job.pk}").status_code == 404
    assert browser.get(f"/jobs/{uuid.uuid4()}").status_code == 404


def test_a_deleted_job_is_not_there(browser, member):
    job = _job(member, deleted_at=timezone.now())
    assert browser.get(f"/jobs/{job.pk}").status_code == 404


# --- One picture ------------------------------------------------------------------------------


def test_a_picture_leads_to_its_place_on_the_jobs_page(browser, member):
    image = factories.image(_job(member))
    answer = browser.get(f"/images/{image.pk}")
    assert answer.url == f"/jobs/{image.job_id}#picture-{image.pk}"


def test_a_picture_without_its_job_has_a_page_of_its_own(browser, member):
    job = _job(member)
    image = factories.image(job, parameters=PARAMS)
    job.delete()
    page = browser.get(f"/images/{image.pk}").text
    assert "512 × 768" in page
    assert f'src="/api/v1/gallery/images/{image.pk}/file"' in page


def test_the_picture_of_somebody_else_is_not_there(browser):
    image = factories.image(_job(factories.user()))
    assert browser.get(f"/images/{image.pk}").status_code == 404


# --- When it should start


def test_a_waiting_job_says_when_it_should_start(staff_browser):
    server = factories.server(loaded_checkpoint="x")
    Timing.objects.create(server=server, checkpoint="x", runs=1, unit_seconds=600)
    first, second = (factories.job(checkpoint="x") for _ in range(2))
    assert "Starts in a moment" in staff_browser.get(f"/jobs/{first.pk}").content.decode()
    assert "Starts in 10 min" in staff_browser.get(f"/jobs/{second.pk}").content.decode()


def test_what_a_job_waits_for_is_read_again_when_a_server_or_the_queue_changes(staff_browser):
    """Its own events don't tell of these, and its place changes with those of others."""
    job = factories.job()
    page = staff_browser.get(f"/jobs/{job.pk}").content.decode()
    listens = re.search(r'id="job" data-live="([^"]*)"', page)[1].split()
    assert {"server.status", "queue.paused"} <= set(listens)
    assert "data-again" in page
    Job.objects.update(status=Status.COMPLETED)
    assert "data-again" not in staff_browser.get(f"/jobs/{job.pk}").content.decode()


# --- Jobs of which some pictures are made -------------------------------------------------


def _half_made(owner, status):
    job = factories.job(
        status,
        owner=owner,
        lane_class="background",
        images_wanted=8,
        images_made=3,
        server_alias="a",
    )
    for number in range(3):
        factories.image(job, index=number)
    return job


def test_while_the_next_picture_is_made_those_before_it_are_shown(browser, member):
    job = _half_made(member, Status.PROCESSING)
    factories.attempt(job, images=1)
    page = browser.get(f"/jobs/{job.pk}").text
    assert "data-watch" in page
    assert page.count('data-file="') == 3
    assert "3 of 8 are kept." in page
    queue = browser.get("/").text
    assert "3 of 8 pictures made" in queue


def test_rounds_are_one_attempt(browser, member):
    job = _half_made(member, Status.PROCESSING)
    now = timezone.now()
    for number in range(1, 4):
        ended = {"ended_at": now, "cleared_at": now, "outcome": Outcome.ROUND}
        factories.attempt(job, number=number, images=1, **ended)
    factories.attempt(job, number=4, images=1)
    assert ">1 attempt<" in browser.get(f"/jobs/{job.pk}").text


def test_a_retry_with_a_new_seed_is_offered_only_before_the_first_picture(browser, member):
    half = _half_made(member, Status.CANCELLED)
    none = factories.job(Status.CANCELLED, owner=member)
    pages = [browser.get(f"/jobs/{job.pk}").text for job in (half, none)]
    assert ["With a new seed" in page for page in pages] == [False, True]
    assert "3 of 8 pictures are made." in pages[0]
