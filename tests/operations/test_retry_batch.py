"""All jobs of a batch that failed, queued again by one request, which can be taken back."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from apikeys.actors import SYSTEM
from apikeys.models import SCOPES
from jobs import inputs, services, transitions
from jobs.choices import Status
from jobs.models import Batch, Event, Job, JobDependency, Retry
from jobs.services import undo
from tests import factories
from tests.api.conftest import Api
from tests.operations.test_undo import undone

pytestmark = pytest.mark.django_db
FAILED = {
    "error_code": "boom",
    "error_message": "The GPU is gone.",
    "error_hint": "Look for it.",
    "server_alias": "a",
    "attempts_made": 3,
    "memory_step": 2,
    "avoid_servers": ["b"],
}


def batch(owner=None, **counts):
    row = Batch.objects.create(total=sum(counts.values()), owner=owner, created_at=timezone.now())
    jobs = []
    for status, number in counts.items():
        fields = FAILED if status == Status.FAILED else {}
        jobs += [factories.job(status, owner=owner, batch=row, **fields) for _ in range(number)]
    return row, jobs


def retried(client, row):
    answer = client.send("POST", f"/api/v2/generate/bulk/{row.pk}/retry")
    assert answer.status_code == 200, answer.json()
    return answer.json()


def statuses(jobs):
    return [Job.objects.values_list("status", flat=True).get(pk=job.pk) for job in jobs]


def test_what_failed_waits_again_and_nothing_else(api, member):
    row, jobs = batch(member, failed=2, cancelled=1, completed=1, processing=1)
    other = factories.job(Status.FAILED, owner=member)
    body = retried(api, row)
    assert set(body) == {"success", "retried", "left", "undo"}
    assert (body["retried"], body["left"]) == (2, [])
    assert statuses(jobs) == ["pending", "pending", "cancelled", "completed", "processing"]
    assert statuses([other]) == ["failed"]
    again = Job.objects.get(pk=jobs[0].pk)
    assert (again.error_message, again.attempts_made, again.avoid_servers) == ("", 0, [])
    assert Event.objects.filter(job=again, kind="job.status").count() == 1


def test_a_second_time_there_is_nothing_to_do(api, member):
    row, _ = batch(member, failed=1)
    retried(api, row)
    body = retried(api, row)
    assert (body["retried"], body["undo"]) == (0, None)
    assert Retry.objects.count() == 1


def test_undo_makes_them_failed_as_they_were(api, member):
    late = timezone.now() - timedelta(hours=1)
    row, jobs = batch(member, failed=2)
    Job.objects.filter(pk=jobs[0].pk).update(
        deadline=late, retry_at=late, held=True, blocked=True, warnings=["as asked"]
    )
    before = list(Job.objects.order_by("pk").values())
    offered = retried(api, row)["undo"]
    assert Job.objects.get(pk=jobs[0].pk).deadline is None
    answer = undone(api, offered["id"])
    assert answer.json()["message"] == "2 jobs are as before."
    after = list(Job.objects.order_by("pk").values())
    for rows in (before, after):
        for job in rows:
            del job["updated_at"]
    assert after == before
    assert not Retry.objects.exists()
    told = Event.objects.filter(job=jobs[0], kind="job.status").order_by("-pk")[0]
    assert told.payload["error"]["message"] == "The GPU is gone."
    assert undone(api, offered["id"]).json()["restored"] == 0


def test_undo_leaves_alone_what_runs_or_was_changed_since(member):
    factories.server()
    row, (runs, changed, waits) = batch(member, failed=3)
    taken = services.retry_batch(row.pk, SYSTEM).undo
    with transaction.atomic():
        assert transitions.claim(runs.pk, server_alias="a", lane=row.pk)
    services.patch(changed.pk, SYSTEM, {"priority": 2}, {})
    assert undo.undo(taken.pk, SYSTEM).restored == 1
    assert statuses([runs, changed, waits]) == ["processing", "pending", "failed"]


def test_a_chain_of_the_batch_waits_again_in_one_go():
    row, (first, second, third) = batch(failed=3)
    for job, parent in ((second, first), (third, second)):
        JobDependency.objects.create(job=job, parent=parent)
    assert services.retry_batch(row.pk, SYSTEM).count == 3
    blocked = dict(Job.objects.values_list("pk", "blocked"))
    assert [blocked[job.pk] for job in (first, second, third)] == [False, True, True]


def test_what_needs_another_failed_job_stays_and_is_named(api, member):
    row, (stuck, after_it, free) = batch(member, failed=3)
    outside = factories.job(Status.FAILED, owner=member)
    JobDependency.objects.create(job=stuck, parent=outside)
    JobDependency.objects.create(job=after_it, parent=stuck)
    body = retried(api, row)
    assert (body["retried"], set(body["left"])) == (1, {str(stuck.pk), str(after_it.pk)})
    assert statuses([stuck, after_it, free]) == ["failed", "failed", "pending"]


def test_what_is_made_from_a_file_that_is_gone_stays_with_those_that_need_it():
    row, (bare, needs_it, _) = batch(failed=3)
    mark = {inputs.MARK: "0" * 64, "mime": "image/png", "bytes": 9}
    params = {**bare.generation_params, "init_images": [mark]}
    Job.objects.filter(pk=bare.pk).update(generation_params=params)
    JobDependency.objects.create(job=needs_it, parent=bare)
    done = services.retry_batch(row.pk, SYSTEM)
    assert (done.count, set(done.left)) == (1, {bare.pk, needs_it.pk})


def test_a_quota_that_has_no_room_for_all_takes_none(member):
    key, token = factories.key(member, scopes=SCOPES, jobs_per_day=2)
    row, jobs = batch(member, failed=3)
    answer = Api(token).send("POST", f"/api/v2/generate/bulk/{row.pk}/retry")
    assert (answer.status_code, answer.json()["error"]) == (429, "quota_exceeded")
    assert set(statuses(jobs)) == {"failed"}
    Job.objects.filter(pk=jobs[0].pk).update(status=Status.CANCELLED)
    assert retried(Api(token), row)["retried"] == 2
    assert set(Retry.objects.values_list("api_key_prefix", flat=True)) == {key.prefix}


def test_the_batch_of_somebody_else_is_absent(api):
    row, jobs = batch(factories.user(), failed=1)
    assert api.send("POST", f"/api/v2/generate/bulk/{row.pk}/retry").status_code == 404
    assert statuses(jobs) == ["failed"]
