"""Cancelling, deleting and retrying jobs."""

import threading

import pytest
from django.db import connections, transaction
from django.utils import timezone

from dispatch.sweep import Sweep
from jobs import transitions
from jobs.choices import Outcome, Status
from jobs.models import Event, Job
from tests import factories
from tests.due import due

pytestmark = pytest.mark.django_db


def _kinds(job) -> list[str]:
    return list(Event.objects.filter(job=job).order_by("id").values_list("kind", flat=True))


@pytest.mark.parametrize("path", ["/api/v1/queue/jobs/{}/cancel", "/api/v2/jobs/{}/cancel"])
@pytest.mark.parametrize("status", [Status.PENDING, Status.PROCESSING])
def test_cancel_is_final_at_once(api, member, path, status):
    job = factories.job(status, owner=member, server_alias="gpu")
    attempt = factories.attempt(job) if status == Status.PROCESSING else None
    answer = api.send("POST", path.format(job.pk))
    assert answer.status_code == 200
    assert answer.json()["job"]["status"] == "cancelled"
    assert _kinds(job) == ["job.status"]
    if attempt is not None:
        attempt.refresh_from_db()
        assert (attempt.outcome, attempt.cleared_at) == (Outcome.CANCELLED, None)


def test_cancelling_again_is_no_error_and_no_event(api, member):
    job = factories.job(owner=member)
    for _ in range(2):
        assert api.send("POST", f"/api/v2/jobs/{job.pk}/cancel").status_code == 200
    assert _kinds(job) == ["job.status"]


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
def test_a_job_that_ended_can_not_be_cancelled_and_says_its_state(api, member, status):
    job = factories.job(status, owner=member)
    answer = api.send("POST", f"/api/v2/jobs/{job.pk}/cancel")
    assert answer.status_code == 409
    assert answer.json()["error"] == "job_operation_conflict"
    assert answer.json()["details"]["status"] == status
    assert f"already {status}" in answer.json()["message"]
    job.refresh_from_db()
    assert job.status == status


@pytest.mark.parametrize("path", ["/api/v1/queue/jobs/{}", "/api/v2/jobs/{}"])
@pytest.mark.parametrize("status", [s for s in Status.values if s != "processing"])
def test_a_job_that_waits_or_ended_is_deleted_at_once(api, member, path, status):
    job = factories.job(status, owner=member)
    assert api.send("DELETE", path.format(job.pk)).status_code == 200
    assert api.get(f"/api/v2/jobs/{job.pk}/status").status_code == 404
    assert api.send("DELETE", path.format(job.pk)).status_code == 404
    job.refresh_from_db()
    assert job.deleted_at is not None
    assert _kinds(job) == ["job.deleted"]


def test_a_running_job_can_not_be_deleted(api, member):
    job = factories.job(Status.PROCESSING, owner=member)
    answer = api.send("DELETE", f"/api/v2/jobs/{job.pk}")
    assert (answer.status_code, answer.json()["details"]["status"]) == (409, "processing")
    job.refresh_from_db()
    assert job.deleted_at is None


def test_a_deleted_pending_job_can_not_be_claimed(api, member):
    import uuid

    job = factories.job(owner=member)
    api.send("DELETE", f"/api/v2/jobs/{job.pk}")
    with transaction.atomic():
        assert transitions.claim(job.pk, server_alias="gpu", lane=uuid.uuid4()) is None
    assert not Job.objects.queued().exists()


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
def test_retry_queues_the_job_again_with_its_seed(api, member, status):
    job = factories.job(status, owner=member, error_code="x", attempts_made=3)
    answer = api.send("POST", f"/api/v2/jobs/{job.pk}/retry")
    assert answer.status_code == 200
    shown = answer.json()["job"]
    assert (shown["status"], shown["error"], shown["retry_count"]) == ("pending", None, 0)
    assert shown["generation_params"] == job.generation_params
    assert _kinds(job) == ["job.status"]


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.PENDING, Status.PROCESSING])
def test_only_what_failed_or_was_cancelled_can_be_retried(api, member, status):
    job = factories.job(status, owner=member)
    answer = api.send("POST", f"/api/v2/jobs/{job.pk}/retry")
    assert (answer.status_code, answer.json()["details"]["status"]) == (409, status)
    assert _kinds(job) == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", ["cancel", "complete"])
def test_of_a_cancel_and_a_result_the_first_one_wins(first):
    from tests.api.conftest import Api

    owner = factories.user()
    api = Api(factories.key(owner)[1])
    job = factories.job(Status.PROCESSING, owner=owner, server_alias="gpu")
    attempt = factories.attempt(job)
    answers = []

    def cancel():
        answers.append(api.send("POST", f"/api/v2/jobs/{job.pk}/cancel"))
        connections.close_all()

    def complete():
        with transaction.atomic():
            transitions.complete(attempt.token, generation_info={}, warnings=[])
        connections.close_all()

    second = complete if first == "cancel" else cancel
    for step in (cancel if first == "cancel" else complete, second):
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    job.refresh_from_db()
    assert job.status == ("cancelled" if first == "cancel" else "completed")
    assert answers[0].status_code == (200 if first == "cancel" else 409)


# --- Jobs of which some pictures are made -------------------------------------------------


def _half_made(status: str, member, **fields) -> Job:
    params = {"positive_prompt": "a boat", "seed": 5, "steps": 4, "n_iter": 8}
    job = factories.job(
        status,
        owner=member,
        lane_class="background",
        generation_params=params,
        images_wanted=8,
        images_made=3,
        **fields,
    )
    for number in range(3):
        factories.image(job, index=number)
    return job


def test_what_pictures_were_made_of_can_not_be_changed(api, member):
    job = _half_made(Status.PENDING, member)
    answer = api.send("PATCH", f"/api/v2/jobs/{job.pk}", {"generation_params": {"steps": 9}})
    assert answer.status_code == 409
    assert answer.json()["error"] == "job_operation_conflict"
    assert answer.json()["message"].startswith("3 of its 8 pictures are made already")
    job.refresh_from_db()
    assert job.generation_params["steps"] == 4


def test_where_it_stands_can_be_changed_still(api, member):
    job = _half_made(Status.PENDING, member)
    change = {"priority": 2, "lane": "interactive", "generation_params": {"steps": 4}}
    assert api.send("PATCH", f"/api/v2/jobs/{job.pk}", change).status_code == 200
    job.refresh_from_db()
    assert (job.priority, job.lane_class, job.images_made) == (2, "interactive", 3)


def test_a_retry_keeps_the_pictures_and_their_seed(api, member):
    job = _half_made(Status.CANCELLED, member)
    refused = api.send("POST", f"/api/v2/jobs/{job.pk}/retry", {"seed": "new"})
    assert refused.status_code == 409
    assert "duplicate it" in refused.json()["details"]["hint"]
    job.refresh_from_db()
    assert (job.status, job.generation_params["seed"]) == (Status.CANCELLED, 5)
    assert api.send("POST", f"/api/v2/jobs/{job.pk}/retry").status_code == 200
    job.refresh_from_db()
    assert (job.status, job.images_made) == (Status.PENDING, 3)


def test_a_duplicate_begins_with_its_first_picture(api, member):
    job = _half_made(Status.CANCELLED, member)
    answer = api.send("POST", f"/api/v2/jobs/{job.pk}/duplicate")
    twin = Job.objects.get(pk=answer.json()["mobilesd_job_id"])
    assert (twin.images_made, twin.images_wanted) == (0, 8)


def test_its_pictures_are_shown_whatever_its_status(api, member):
    for status in (Status.PENDING, Status.PROCESSING, Status.FAILED, Status.CANCELLED):
        job = _half_made(status, member, generation_info={"infotexts": ["a boat"]})
        shown = api.get(f"/api/v2/jobs/{job.pk}/status").json()["job"]
        assert shown["progress"] == 0.375
        assert len(shown["result_details"]["image_ids"]) == 3
        assert shown["result_details"]["info"] == "a boat"


def test_past_its_deadline_it_is_not_given_up(member):
    begun = _half_made(Status.PENDING, member, deadline=timezone.now())
    not_begun = factories.job(owner=member, deadline=timezone.now())
    Sweep._expire()
    begun.refresh_from_db()
    not_begun.refresh_from_db()
    assert (begun.status, not_begun.status) == (Status.PENDING, Status.FAILED)
    assert begun in due(timezone.now())
