"""contracts/api.md: `depends_on`, and what cancel, delete and retry say of a chain."""

import uuid

import pytest

from jobs.models import Job, JobDependency
from tests import factories
from tests.chains.making import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PARAMS,
    PENDING,
    fail,
    start,
    status,
    statuses,
    waiting,
)

pytestmark = pytest.mark.django_db(transaction=True)
GENERATE = "/api/v2/generate"


def send(api, *needs, **fields):
    body = {"generation_params": PARAMS, "depends_on": list(needs), **fields}
    return api.send("POST", fields.pop("path", GENERATE), body)


def submitted(api, *needs, **fields):
    answer = send(api, *needs, **fields)
    assert answer.status_code == 202, answer.json()
    return Job.objects.get(pk=answer.json()["mobilesd_job_id"])


def shown(api, job):
    return api.send("GET", f"/api/v2/jobs/{job.pk}/status").json()["job"]


def test_a_job_shows_what_it_depends_on_and_why_it_waits(api):
    factories.server()
    first, other = submitted(api), submitted(api)
    last = submitted(api, str(first.pk), {"job": str(other.pk), "on_failure": "run"})
    job = shown(api, last)
    assert job["depends_on"] == [str(first.pk), str(other.pk)]
    assert job["dependencies"] == [
        {"job": str(first.pk), "on_failure": "cancel", "status": "pending"},
        {"job": str(other.pk), "on_failure": "run", "status": "pending"},
    ]
    assert job["waiting_reason"]["code"] == "dependency"
    assert shown(api, first)["depends_on"] == []


def test_what_a_job_shows_can_be_sent_again(api):
    first = submitted(api)
    second = submitted(api, {"job": str(first.pk), "on_failure": "run"})
    third = submitted(api, *shown(api, second)["dependencies"])
    assert shown(api, third)["dependencies"] == shown(api, second)["dependencies"]


def test_v1_takes_it_as_well(api):
    first = submitted(api)
    body = {"generation_params": PARAMS, "depends_on": [str(first.pk)]}
    assert api.send("POST", "/api/v1/generate", body).status_code == 202
    assert JobDependency.objects.count() == 1


def test_all_jobs_of_a_bulk_order_wait(api):
    first = submitted(api)
    answer = send(api, str(first.pk), path="/api/v2/generate/bulk", bulk_quantity=3)
    assert answer.status_code == 202, answer.json()
    assert JobDependency.objects.filter(parent=first).count() == 3


@pytest.mark.parametrize("made", [FAILED, CANCELLED])
def test_a_job_that_came_to_nothing_is_refused_unless_that_is_no_matter(api, member, made):
    first = factories.job(made, owner=member)
    answer = send(api, str(first.pk))
    assert (answer.status_code, answer.json()["error"]) == (409, "dependency_failed")
    assert answer.json()["details"]["fields"] == {"depends_on.0": [f"names a job that is {made}."]}
    assert Job.objects.count() == 1
    submitted(api, {"job": str(first.pk), "on_failure": "run"})


@pytest.mark.parametrize("which", ["nobody's", "somebody else's", "deleted"])
def test_a_job_that_is_not_there_is_refused_alike(api, member, which):
    from django.utils import timezone

    ids = {
        "nobody's": uuid.uuid4(),
        "somebody else's": factories.job(owner=factories.user()).pk,
        "deleted": factories.job(owner=member, deleted_at=timezone.now()).pk,
    }
    answer = send(api, str(ids[which]))
    assert answer.status_code == 400
    assert answer.json()["message"] == f"depends_on.0 names no job: {ids[which]}."


def test_the_same_key_again_gives_the_same_job_though_its_parent_failed_meanwhile(api):
    first = submitted(api)
    second = submitted(api, str(first.pk), idempotency_key="k")
    fail(start(first))
    again = send(api, str(first.pk), idempotency_key="k")
    assert again.status_code == 200
    assert again.json()["mobilesd_job_id"] == str(second.pk)


def test_cancel_says_what_else_it_takes(api):
    first = submitted(api)
    second = submitted(api, str(first.pk))
    third = submitted(api, str(second.pk))
    loose = submitted(api, {"job": str(first.pk), "on_failure": "run"})
    path = f"/api/v2/jobs/{first.pk}/cancel"
    dry = api.send("POST", f"{path}?dry_run=1").json()
    assert dry["also"] == [str(second.pk), str(third.pk)]
    assert statuses(first, second, third) == [PENDING] * 3
    assert dry["undo"] is None
    body = api.send("POST", path).json()
    assert body["also"] == dry["also"]
    assert statuses(first, second, third, loose) == [CANCELLED, FAILED, FAILED, PENDING]


def test_undo_brings_the_whole_chain_back(api):
    first = submitted(api)
    second = submitted(api, str(first.pk))
    third = submitted(api, str(second.pk))
    undo = api.send("POST", f"/api/v2/jobs/{first.pk}/cancel").json()["undo"]
    assert api.send("POST", f"/api/v2/undo/{undo['id']}").status_code == 200
    assert statuses(first, second, third) == [PENDING] * 3


def test_delete_says_it_as_well(api):
    first = submitted(api)
    second = submitted(api, str(first.pk))
    body = api.send("DELETE", f"/api/v2/jobs/{first.pk}").json()
    assert body["also"] == [str(second.pk)]
    assert status(second) == FAILED


def test_what_others_depend_on_is_not_named(api, boss):
    first = submitted(api)
    theirs = submitted(boss, str(first.pk))
    body = api.send("POST", f"/api/v2/jobs/{first.pk}/cancel").json()
    assert body["also"] == []
    assert status(theirs) == FAILED


def test_a_dry_run_is_asked_for_with_a_known_word(api):
    first = submitted(api)
    answer = api.send("POST", f"/api/v2/jobs/{first.pk}/cancel?dry_run=maybe")
    assert answer.status_code == 400
    assert status(first) == PENDING


def retried(api, job, **body):
    answer = api.send("POST", f"/api/v2/jobs/{job.pk}/retry", body or None)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def test_a_retry_names_what_failed_with_it_and_leaves_it(api):
    first = submitted(api)
    second = submitted(api, str(first.pk))
    fail(start(first))
    assert retried(api, first)["dependents"] == [str(second.pk)]
    assert statuses(first, second) == [PENDING, FAILED]


def test_a_retry_with_dependents_queues_the_chain_again(api):
    first = submitted(api)
    second = submitted(api, str(first.pk))
    third = submitted(api, str(second.pk), str(first.pk))
    fail(start(first))
    again = retried(api, first, dependents=True)["dependents"]
    assert set(again) == {str(second.pk), str(third.pk)}
    assert statuses(first, second, third) == [PENDING] * 3


def test_what_also_needs_another_that_failed_stays(api):
    first, other = submitted(api), submitted(api)
    both = submitted(api, str(first.pk), str(other.pk))
    alone = submitted(api, str(first.pk))
    fail(start(other))
    fail(start(first))
    assert retried(api, first, dependents=True)["dependents"] == [str(alone.pk)]
    assert status(both) == FAILED


def test_a_retry_that_is_refused_brings_nobody_back(api, member):
    first = factories.job(COMPLETED, owner=member)
    answer = api.send("POST", f"/api/v2/jobs/{first.pk}/retry", {"dependents": True})
    assert answer.status_code == 409


def test_depends_on_can_be_changed_and_taken_away(api):
    first, other = submitted(api), submitted(api)
    last = submitted(api, str(first.pk))
    path = f"/api/v2/jobs/{last.pk}"
    job = api.send("PATCH", path, {"depends_on": [str(other.pk)]}).json()["job"]
    assert job["depends_on"] == [str(other.pk)]
    assert api.send("PATCH", path, {"depends_on": []}).json()["job"]["depends_on"] == []


def test_a_circle_is_refused(api):
    first = submitted(api)
    second = submitted(api, str(first.pk))
    answer = api.send("PATCH", f"/api/v2/jobs/{first.pk}", {"depends_on": [str(second.pk)]})
    assert (answer.status_code, answer.json()["error"]) == (400, "dependency_cycle")
    assert shown(api, first)["depends_on"] == []


def test_a_list_of_chains_costs_no_query_for_each(api, member, django_assert_max_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from dispatch import plan

    def queries():
        plan.forget()  # what is expected is kept for a while: asked or not, by the clock
        with CaptureQueriesContext(connection) as asked:
            assert api.send("GET", "/api/v2/jobs").status_code == 200
        return len(asked)

    first = submitted(api)
    submitted(api, str(first.pk))
    queries()
    few = queries()
    for _ in range(8):
        submitted(api, str(first.pk))
    assert queries() == few


def test_a_parent_is_kept_as_long_as_a_child_waits_for_it(member):
    from datetime import timedelta

    from django.utils import timezone

    from jobs.purge import purge_deleted

    long_ago = timezone.now() - timedelta(days=1)
    first = factories.job(COMPLETED, owner=member)
    second = waiting(first)
    Job.objects.filter(pk=first.pk).update(deleted_at=long_ago)
    assert purge_deleted() == 0
    Job.objects.filter(pk=second.pk).update(status=CANCELLED)
    assert purge_deleted() == 1
