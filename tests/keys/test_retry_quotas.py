"""A retry is a job more for the key that asks for it, and its run counts for that key."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apikeys.actors import Actor
from jobs import purge, services, transitions
from jobs.choices import Status
from jobs.models import Job, Retry
from jobs.usage import usage
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def _retry(token, job):
    return Api(token).send("POST", f"/api/v2/jobs/{job.pk}/retry")


def _failed(owner, key=None, **fields):
    fields.setdefault("created_at", timezone.now() - 25 * HOUR)
    return factories.job(Status.FAILED, owner=owner, api_key=key, **fields)


def test_retries_use_up_the_quota_of_jobs(member):
    row, token = factories.key(member, jobs_per_day=2)
    job = _failed(member, row)
    for used in (1, 2):
        assert _retry(token, job).status_code == 200
        assert usage([row])[row.prefix].jobs == used
        Job.objects.update(status=Status.FAILED)
        Retry.objects.filter(at__gt=timezone.now() - HOUR).update(
            at=timezone.now() - (4 - used) * HOUR
        )
    refused = _retry(token, job)
    assert (refused.status_code, refused.json()["error"]) == (429, "quota_exceeded")
    assert refused.json()["details"]["used"] == 2
    assert abs(int(refused.headers["Retry-After"]) - 21 * 3600) < 60
    assert Job.objects.get().status == Status.FAILED
    body = {"generation_params": {"positive_prompt": "a lighthouse"}}
    assert Api(token).send("POST", "/api/v2/generate", body).status_code == 429
    frees_at = usage([row])[row.prefix].jobs_free_at
    assert abs(frees_at - timezone.now() - 21 * HOUR) < timedelta(minutes=1)


def test_used_up_gpu_seconds_stop_retries_too(member):
    row, token = factories.key(member, gpu_seconds_per_day=10)
    job = _failed(member, row)
    now = timezone.now()
    factories.attempt(job, submitted_at=now - HOUR, ended_at=now - HOUR + timedelta(seconds=11))
    assert _retry(token, job).json()["details"]["quota"] == "gpu_seconds_per_day"


def test_what_can_not_be_retried_is_no_use_and_says_why(member):
    row, token = factories.key(member, jobs_per_day=0)
    done = factories.job(Status.COMPLETED, owner=member)
    assert _retry(token, done).json()["error"] == "job_operation_conflict"
    assert usage([row])[row.prefix].jobs == 0


def _claimed(job):
    with transaction.atomic():
        attempt = transitions.claim(job.pk, server_alias="a", lane=uuid4())
    assert attempt is not None
    return attempt.api_key_prefix


def test_the_run_counts_for_who_asked_for_it_last(member):
    maker, _ = factories.key(member)
    other, token = factories.key(member)
    factories.server("a")
    assert _claimed(factories.job(owner=member, api_key=maker)) == maker.prefix
    job = _failed(member, maker)
    assert _retry(token, job).status_code == 200
    assert _claimed(job) == other.prefix
    job = _failed(member, maker)
    services.retry(job.pk, Actor.of_user(member))
    assert _claimed(job) == ""  # on the page: no key has asked for it


def test_deleting_the_job_gives_nothing_back(member):
    row, token = factories.key(member, jobs_per_day=1)
    job = _failed(member)
    assert _retry(token, job).status_code == 200
    Job.objects.filter(pk=job.pk).delete()
    assert usage([row])[row.prefix].jobs == 1


def test_old_retries_are_forgotten(member):
    row, _ = factories.key(member)
    for days in (1, 31):
        at = timezone.now() - timedelta(days=days)
        Retry.objects.create(job=_failed(member), api_key_prefix=row.prefix, at=at)
    assert purge.forget_retries() == 1
    assert Retry.objects.count() == 1


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL plans by its statistics.")
def test_counting_reads_only_what_is_in_the_window():
    row, _ = factories.key(jobs_per_day=0)
    with CaptureQueriesContext(connection) as queries:
        usage([row])
    statements = [q["sql"] for q in queries if 'FROM "jobs_retry"' in q["sql"]]
    assert len(statements) == 2
    for statement in statements:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}")
            plan = " ".join(str(line[3]) for line in cursor.fetchall())
        assert "retry_key_at (api_key_prefix=? AND at>?)" in plan
