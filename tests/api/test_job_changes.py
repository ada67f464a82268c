"""Cancelling, deleting and retrying jobs."""

import threading

import pytest
from django.db import connections, transaction

from jobs import transitions
from jobs.choices import Outcome, Status
from jobs.models import Event, Job
from tests import factories

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
