"""A job as the contract emits it, in each state."""

import pytest
from django.utils import timezone

from jobs.choices import Status
from jobs.models import JobProgress
from tests import factories

pytestmark = pytest.mark.django_db

FIELDS = {
    *("mobilesd_job_id", "status", "app_type", "kind", "source_info", "api_key_id"),
    *("target_server_alias", "server_alias", "generation_params", "priority", "queue_position"),
    *("waiting_reason", "progress", "progress_text", "estimated_time_remaining"),
    *("estimated_start_time", "retry_count", "depends_on", "batch_id", "creation_timestamp"),
    *("last_updated_timestamp", "started_timestamp", "completion_timestamp"),
    *("forge_session_hash", "error", "result_details"),
}


def _shown(api, job) -> dict:
    flat = api.get(f"/api/v1/queue/jobs/{job.pk}/status")
    wrapped = api.get(f"/api/v2/jobs/{job.pk}/status")
    assert flat.status_code == wrapped.status_code == 200
    shown, again = flat.json(), wrapped.json()
    assert again.pop("success") is True
    for moving in (shown, again["job"]):  # the clock goes on between the two
        moving["estimated_time_remaining"] = round(moving["estimated_time_remaining"] or 0)
    assert abs(shown["estimated_time_remaining"] - again["job"]["estimated_time_remaining"]) <= 1
    again["job"]["estimated_time_remaining"] = shown["estimated_time_remaining"]
    assert again == {"job": shown}
    return shown


@pytest.mark.parametrize("status", Status.values)
def test_every_field_of_the_contract_is_there(api, member, status):
    shown = _shown(api, factories.job(status, owner=member))
    assert set(shown) >= FIELDS
    assert shown["status"] == status
    assert shown["creation_timestamp"].endswith("Z")
    assert shown["forge_session_hash"] is None


def test_a_pending_job_says_where_it_stands_and_why_it_waits(api, member):
    shown = _shown(api, factories.job(owner=member))
    assert shown["queue_position"] == 1
    assert set(shown["waiting_reason"]) == {"code", "message", "action", "buttons"}
    assert shown["waiting_reason"]["code"]
    assert (shown["progress"], shown["result_details"]) == (0.0, None)


def test_a_running_job_says_how_far_it_is(api, member):
    job = factories.job(Status.PROCESSING, owner=member, server_alias="gpu", attempts_made=1)
    JobProgress.objects.create(
        job=job,
        attempt=job.pk,
        progress=0.5,
        text="Sampling 10/20",
        eta_seconds=8,
        updated_at=timezone.now(),
    )
    shown = _shown(api, job)
    assert (shown["progress"], shown["progress_text"]) == (0.5, "Sampling 10/20")
    assert 6 <= shown["estimated_time_remaining"] <= 8
    assert (shown["server_alias"], shown["retry_count"]) == ("gpu", 1)
    assert (shown["queue_position"], shown["waiting_reason"]) == (None, None)


def test_a_completed_job_has_its_pictures(api, member):
    job = factories.job(
        Status.COMPLETED,
        owner=member,
        attempts_made=1,
        warnings=["The sampler differs."],
        generation_info={"prompt": "a cat", "all_seeds": [1, 2], "infotexts": ["a cat\nSteps: 4"]},
    )
    first, second = factories.image(job), factories.image(job)
    factories.image(job, rejected=True)
    shown = _shown(api, job)
    details = shown["result_details"]
    assert details["image_ids"] == [str(first.pk), str(second.pk)]
    assert details["images"] == [first.filename, second.filename]
    assert details["image_urls"][0] == f"/api/v1/gallery/images/{first.pk}/file"
    assert details["generation_info"]["all_seeds"] == [1, 2]
    assert details["warnings"] == ["The sampler differs."]
    assert details["info"] == "a cat\nSteps: 4"
    assert (shown["progress"], shown["retry_count"], shown["error"]) == (1.0, 0, None)


def test_a_failed_job_says_what_went_wrong(api, member):
    job = factories.job(
        Status.FAILED,
        owner=member,
        attempts_made=3,
        error_code="out_of_memory",
        error_message="The GPU ran out of memory.",
        error_hint="Make the picture smaller.",
    )
    shown = _shown(api, job)
    assert shown["error"] == {
        "code": "out_of_memory",
        "message": "The GPU ran out of memory.",
        "hint": "Make the picture smaller.",
    }
    assert shown["retry_count"] == 2


@pytest.mark.parametrize(
    "path", ["/api/v1/queue/jobs/{}/status", "/api/v2/jobs/{}/status", "/api/v2/jobs/{}"]
)
def test_a_job_that_is_not_there_is_a_404(api, path):
    answer = api.get(path.format("00000000-0000-0000-0000-000000000000"))
    assert (answer.status_code, answer.json()["error"]) == (404, "job_not_found")
    assert api.get(path.format("not-an-id")).json()["error"] == "not_found"


def test_a_job_and_its_status_are_the_same_answer(api, member):
    job = factories.job(owner=member)
    one, status = (api.get(f"/api/v2/jobs/{job.pk}{tail}") for tail in ("", "/status"))
    assert (one.json(), one["ETag"]) == (status.json(), status["ETag"])
    again = api.get(f"/api/v2/jobs/{job.pk}", headers={"If-None-Match": one["ETag"]})
    assert again.status_code == 304
