"""The words of a job change with the job, in its transaction."""

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from jobs import purge, wording
from jobs.models import Job, JobText
from tests import factories

V2 = "/api/v2"
JOB = {"generation_params": {"positive_prompt": "a lighthouse", "negative_prompt": "fog"}}
pytestmark = pytest.mark.django_db


def _total(api, q: str) -> int:
    return api.get(f"{V2}/jobs", {"q": q}).json()["total"]


def _submit(api, **changes) -> str:
    answer = api.send("POST", f"{V2}/generate", {**JOB, **changes})
    assert answer.status_code == 202, answer.content
    return answer.json()["mobilesd_job_id"]


def test_a_new_job_is_found_at_once(api):
    _submit(api, source_info="my phone")
    for q in ("lighthouse fog", "phone"):
        assert _total(api, q) == 1
    assert (
        api.get(f"{V2}/jobs", {"q": "lighthouse", "source_info": "my phone"}).json()["total"] == 1
    )
    assert api.get(f"{V2}/jobs", {"q": "lighthouse", "source_info": "phone"}).json()["total"] == 0


def test_each_job_of_a_batch_is_found(api):
    body = {**JOB, "bulk_quantity": 5, "seed_variation": "incremental"}
    answer = api.send("POST", f"{V2}/generate/bulk", body)
    assert answer.status_code == 202, answer.content
    batch = answer.json()["bulk_job_id"]
    shown = api.get(f"{V2}/jobs", {"q": "lighthouse", "batch": batch, "order": "asc"}).json()
    assert shown["total"] == 5
    assert {job["batch_id"] for job in shown["jobs"]} == {batch}
    plain = api.get(f"{V2}/jobs", {"batch": batch, "order": "asc"}).json()
    assert shown["jobs"] == plain["jobs"]


def test_a_changed_job_is_found_by_its_new_words_only(api):
    job_id = _submit(api)
    body = {"generation_params": {"positive_prompt": "a harbour"}}
    assert api.send("PATCH", f"{V2}/jobs/{job_id}", body).status_code == 200
    assert (_total(api, "lighthouse"), _total(api, "harbour"), _total(api, "fog")) == (0, 1, 1)


def test_a_deleted_job_is_not_found(api):
    job_id = _submit(api)
    assert api.delete(f"{V2}/jobs/{job_id}").status_code == 200
    assert _total(api, "lighthouse") == 0
    assert not JobText.objects.exists()


def test_a_purged_job_leaves_no_words(job, api, member, monkeypatch):
    made = job(owner=member)
    Job.objects.filter(pk=made.pk).update(deleted_at=made.created_at)
    monkeypatch.setattr(purge, "UNDO_SECONDS", -10)
    assert purge.purge_deleted() == 1
    assert not JobText.objects.exists()
    job("a lighthouse", owner=member, created_at=made.created_at)  # perhaps of the same rank
    assert _total(api, "lighthouse") == 1


def test_a_submission_that_fails_leaves_no_words(job, member):
    with pytest.raises(RuntimeError), transaction.atomic():
        job(owner=member)
        raise RuntimeError
    assert not JobText.objects.exists()


def test_jobs_of_one_moment_keep_their_order(member):
    first = factories.job(owner=member)
    others = [factories.job(owner=member, created_at=first.created_at) for _ in range(3)]
    wording.add([first])
    wording.add(others)
    ranks = [job.text.pk for job in [first, *others]]
    assert ranks == list(range(ranks[0], ranks[0] + 4))


def test_words_cost_a_submission_one_statement(member):
    made = factories.job(owner=member)
    with CaptureQueriesContext(connection) as queries:
        wording.add([made])
    assert len(queries) == 1


@pytest.mark.skipif(connection.vendor != "sqlite", reason="FTS5 is SQLite's.")
def test_the_index_agrees_with_the_texts(job, member):
    made = [job(f"lighthouse {number}", owner=member) for number in range(20)]
    wording.remove([made[3].pk])
    made[4].generation_params = {"positive_prompt": "harbour"}
    wording.change(made[4])
    with connection.cursor() as cursor:  # raises when they differ
        cursor.execute(
            "INSERT INTO jobs_jobtext_fts(jobs_jobtext_fts, rank) VALUES ('integrity-check', 1)"
        )
