"""The contract's rows of jobs: method, path, request, status, and exactly these fields."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.choices import Status
from jobs.models import Job
from tests import factories

pytestmark = pytest.mark.django_db

JOB = {
    "mobilesd_job_id",
    "status",
    "app_type",
    "kind",
    "source_info",
    "api_key_id",
    "target_server_alias",
    "server_alias",
    "generation_params",
    "priority",
    "queue_position",
    "waiting_reason",
    "progress",
    "progress_text",
    "estimated_time_remaining",
    "estimated_start_time",
    "retry_count",
    "depends_on",
    "batch_id",
    "creation_timestamp",
    "last_updated_timestamp",
    "started_timestamp",
    "completion_timestamp",
    "forge_session_hash",
    "error",
    "result_details",
    # additions
    "warnings",
    "lane",
    "not_before",
    "deadline",
    "dependencies",
}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
PARAMS = {"positive_prompt": "a cat", "width": 512, "height": 512, "steps": 4}


def pending(member, **fields) -> Job:
    return factories.job(owner=member, **fields)


def every_state(member) -> list[Job]:
    completed = factories.job(Status.COMPLETED, owner=member, server_alias="a")
    factories.image(completed)
    failed = factories.job(
        Status.FAILED,
        owner=member,
        error_code="oom",
        error_message="No memory.",
        error_hint="Less.",
    )
    running = factories.job(Status.PROCESSING, owner=member, server_alias="a")
    factories.attempt(running)
    cancelled = factories.job(Status.CANCELLED, owner=member)
    return [pending(member), running, completed, failed, cancelled]


def test_v1_generate(api, schema):
    factories.server("a")
    body = {"target_server_alias": "a", "generation_params": PARAMS, "app_type": "forge"}
    answer = api.send("POST", "/api/v1/generate", body)
    assert answer.status_code == 202
    assert set(schema.check(answer, "POST", "/api/v1/generate")) == {"mobilesd_job_id"}


def test_v2_generate(api, schema):
    factories.server("a")
    body = {
        "generation_params": PARAMS,
        "target_server_alias": "a",
        "app_type": "forge",
        "source_info": "test",
        "priority": 3,
        "lane": "background",
        "not_before": (timezone.now() + timedelta(hours=1)).isoformat(),
        "deadline": (timezone.now() + timedelta(hours=2)).isoformat(),
        "idempotency_key": "once",
    }
    fields = {
        "success",
        "mobilesd_job_id",
        "queue_position",
        "app_type",
        "creation_timestamp",
        "target_server_alias",
        "estimated_start_time",
        "warnings",
    }
    first = api.send("POST", "/api/v2/generate", body)
    assert first.status_code == 202
    found = schema.check(first, "POST", "/api/v2/generate")
    assert set(found) == fields
    assert MOMENT.fullmatch(found["creation_timestamp"])
    again = api.send("POST", "/api/v2/generate", body)
    assert again.status_code == 200
    assert (
        schema.check(again, "POST", "/api/v2/generate")["mobilesd_job_id"]
        == (found["mobilesd_job_id"])
    )
    other = api.send("POST", "/api/v2/generate", {**body, "priority": 4})
    assert other.status_code == 409
    assert schema.check(other, "POST", "/api/v2/generate")["error"] == "idempotency_conflict"


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({}, 400, "missing_required_field"),
        ({"generation_params": {"width": 1}}, 400, "invalid_field_value"),
        ({"generation_params": {}, "workflow": {"1": {}}}, 400, "unsupported_parameter"),
        (b"{", 400, "invalid_json"),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/generate", "/api/v2/generate"])
def test_refused_submissions(api, schema, path, body, status, error):
    answer = api.send("POST", path, body)
    assert answer.status_code == status
    assert schema.check(answer, "POST", path)["error"] == error


def test_v1_list(api, member, schema):
    jobs = every_state(member)
    path = "/api/v1/queue/jobs"
    answer = api.get(path, {"limit": 2, "order": "asc"})
    found = schema.check(answer, "GET", path)
    assert set(found) == {"total", "total_is_exact", "jobs", "next_cursor"}
    assert found["total"] == len(jobs)
    rest = schema.check(
        api.get(path, {"order": "asc", "cursor": found["next_cursor"]}), "GET", path
    )
    assert len(found["jobs"]) + len(rest["jobs"]) == len(jobs)
    assert all(set(job) == JOB for job in found["jobs"] + rest["jobs"])
    one = schema.check(api.get(path, {"status": "failed", "app_type": "forge"}), "GET", path)
    assert [job["status"] for job in one["jobs"]] == ["failed"]


def test_v2_list(api, member, schema):
    jobs = every_state(member)
    path = "/api/v2/jobs"
    found = schema.check(api.get(path), "GET", path)
    assert set(found) == {"success", "total", "total_is_exact", "filters", "jobs", "next_cursor"}
    newest_first = sorted(jobs, key=lambda job: job.created_at, reverse=True)
    assert [job["mobilesd_job_id"] for job in found["jobs"]] == [str(j.pk) for j in newest_first]
    assert all(set(job) == JOB for job in found["jobs"])
    wanted = {
        "status": ["pending", "failed"],
        "app_type": "forge",
        "created_after": "2020-01-01T00:00:00Z",
        "created_before": "2099-01-01T00:00:00Z",
    }
    some = schema.check(api.get(path, wanted), "GET", path)
    assert {job["status"] for job in some["jobs"]} == {"pending", "failed"}
    assert set(some["filters"]) == set(wanted)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/queue/jobs/{job_id}/status",
        "/api/v2/jobs/{job_id}/status",
        "/api/v2/jobs/{job_id}",
    ],
)
def test_status_of_a_job_in_each_state(api, member, schema, path):
    for job in every_state(member):
        found = schema.check(api.get(path.replace("{job_id}", str(job.pk))), "GET", path)
        if "v2" in path:
            assert set(found) == {"success", "job"}
            found = found["job"]
        assert set(found) == JOB
        assert found["status"] == job.status
        assert MOMENT.fullmatch(found["creation_timestamp"])
        assert (found["error"] is not None) == (job.status == "failed")
        assert (found["result_details"] is not None) == (job.status == "completed")
        assert (found["queue_position"] is not None) == (job.status == "pending")


@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        ("POST", "/api/v1/queue/jobs/{job_id}/cancel", {"message", "job"}),
        ("DELETE", "/api/v1/queue/jobs/{job_id}", {"message"}),
        ("POST", "/api/v2/jobs/{job_id}/cancel", {"success", "message", "job", "undo", "also"}),
        ("DELETE", "/api/v2/jobs/{job_id}", {"success", "message", "job", "undo", "also"}),
    ],
)
def test_changes_of_a_job(api, member, schema, method, path, fields):
    job = pending(member)
    answer = api.send(method, path.replace("{job_id}", str(job.pk)))
    assert answer.status_code == 200
    found = schema.check(answer, method, path)
    assert set(found) == fields
    assert set(found.get("job", JOB)) == JOB
    foreign = factories.job(owner=factories.user())
    refused = api.send(method, path.replace("{job_id}", str(foreign.pk)))
    assert refused.status_code == 404
    assert schema.check(refused, method, path)["error"] == "job_not_found"


def test_retry(api, member, schema):
    path = "/api/v2/jobs/{job_id}/retry"
    for state in (Status.FAILED, Status.CANCELLED):
        job = factories.job(state, owner=member)
        found = schema.check(api.send("POST", path.replace("{job_id}", str(job.pk))), "POST", path)
        assert set(found) == {"success", "message", "job", "dependents"}
        assert found["job"]["status"] == "pending"
    done = factories.job(Status.COMPLETED, owner=member)
    refused = api.send("POST", path.replace("{job_id}", str(done.pk)))
    assert refused.status_code == 409
    assert schema.check(refused, "POST", path)["error"] == "job_operation_conflict"
