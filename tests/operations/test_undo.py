"""What is taken away can be brought back for ten seconds, by who took it away."""

import uuid
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from apikeys.actors import SYSTEM
from jobs import again, purge, services, transitions
from jobs.choices import Outcome, Status
from jobs.models import Batch, Event, Job, JobDependency, JobText, Undo
from jobs.services import undo
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db


def taken(client, method, path, body=None):
    answer = client.send(method, path, body)
    assert answer.status_code == 200, answer.json()
    return answer.json()["undo"]["id"]


def undone(client, undo_id):
    return client.send("POST", f"/api/v2/undo/{undo_id}")


def state(job):
    job.refresh_from_db()
    return job.status, job.deleted_at


def queue():
    return list(Job.objects.queued())


def test_a_cancelled_job_gets_its_old_place_back(api, member):
    jobs = [factories.job(owner=member, position=n) for n in range(3)]
    answer = api.send("POST", f"/api/v2/jobs/{jobs[1].pk}/cancel")
    offered = answer.json()["undo"]
    assert set(offered) == {"id", "expires_at"}
    assert queue() == [jobs[0], jobs[2]]
    answer = undone(api, offered["id"])
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "message": "1 job brought back.",
        "action": "cancel",
        "restored": 1,
    }
    assert queue() == jobs
    jobs[1].refresh_from_db()
    assert jobs[1].finished_at is None
    told = Event.objects.filter(job=jobs[1], kind="job.status").order_by("id")
    assert [event.payload["status"] for event in told] == ["cancelled", "pending"]


def test_a_run_that_was_cut_off_is_queued_again_and_waits_until_it_is_cleared(api, member):
    job = factories.job(Status.PROCESSING, owner=member, server_alias="gpu", attempts_made=1)
    attempt = factories.attempt(job)
    undone(api, taken(api, "POST", f"/api/v2/jobs/{job.pk}/cancel"))
    job.refresh_from_db()
    assert (job.status, job.server_alias, job.attempts_made) == (Status.PENDING, "", 1)
    with transaction.atomic():
        assert transitions.claim(job.pk, server_alias="gpu", lane=uuid.uuid4()) is None
        late = transitions.complete(attempt.token, generation_info={}, warnings=[])
        assert late is None, "the old run's answer comes too late"
        assert transitions.clear(attempt.token)
        assert transitions.claim(job.pk, server_alias="gpu", lane=uuid.uuid4())
    attempt.refresh_from_db()
    assert attempt.outcome == Outcome.CANCELLED


@pytest.mark.parametrize("status", [Status.PENDING, Status.COMPLETED, Status.FAILED])
def test_a_deleted_job_is_shown_and_found_again(api, member, status):
    job = factories.job(status, owner=member)
    undone(api, taken(api, "DELETE", f"/api/v2/jobs/{job.pk}"))
    assert state(job) == (status, None)
    assert api.get(f"/api/v2/jobs/{job.pk}/status").status_code == 200
    assert JobText.objects.filter(job=job).count() == 1
    kinds = Event.objects.filter(job=job).order_by("id").values_list("kind", flat=True)
    assert list(kinds) == ["job.deleted", "job.changed"]


def test_twice_is_once(api, member):
    job = factories.job(owner=member)
    undo_id = taken(api, "POST", f"/api/v2/jobs/{job.pk}/cancel")
    assert undone(api, undo_id).json()["restored"] == 1
    services.cancel(job.pk, SYSTEM)
    answer = undone(api, undo_id)
    assert (answer.status_code, answer.json()["restored"]) == (200, 0)
    assert state(job)[0] == Status.CANCELLED, "that cancel was another one"


def test_a_second_cancel_is_not_taken_back_by_the_undo_of_the_first(api, member):
    job = factories.job(owner=member)
    first = taken(api, "POST", f"/api/v2/jobs/{job.pk}/cancel")
    services.retry(job.pk, SYSTEM)
    services.cancel(job.pk, SYSTEM)
    assert undone(api, first).json()["restored"] == 0
    assert state(job)[0] == Status.CANCELLED


def test_of_somebody_else_it_is_not_found(api, boss, member):
    job = factories.job(owner=member)
    undo_id = taken(api, "POST", f"/api/v2/jobs/{job.pk}/cancel")
    stranger = Api(factories.key(factories.user())[1])
    for client, name in ((stranger, undo_id), (boss, undo_id), (api, uuid.uuid4())):
        answer = undone(client, name)
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
    assert state(job)[0] == Status.CANCELLED


def test_the_same_person_may_undo_it_elsewhere(api, member):
    job = factories.job(owner=member)
    undo_id = taken(api, "POST", f"/api/v2/jobs/{job.pk}/cancel")
    page = Api()
    page.force_login(member)
    assert undone(page, undo_id).json()["restored"] == 1


def test_after_ten_seconds_it_is_too_late(api, member):
    job = factories.job(owner=member)
    undo_id = taken(api, "POST", f"/api/v2/jobs/{job.pk}/cancel")
    left = Undo.objects.get().expires_at - timezone.now()
    assert timedelta(seconds=5) < left <= timedelta(seconds=undo.SECONDS)
    Undo.objects.update(expires_at=timezone.now() - timedelta(milliseconds=1))
    answer = undone(api, undo_id)
    assert (answer.status_code, answer.json()["error"]) == (409, "undo_expired")
    assert state(job)[0] == Status.CANCELLED


def test_what_changed_nothing_offers_no_undo(api, member):
    job = factories.job(Status.CANCELLED, owner=member)
    answer = api.send("POST", f"/api/v2/jobs/{job.pk}/cancel")
    assert (answer.status_code, answer.json()["undo"]) == (200, None)
    assert not Undo.objects.exists()


def test_clear_brings_all_back_in_their_order(api, member):
    jobs = [factories.job(owner=member, position=n) for n in range(5)]
    undo_id = taken(api, "POST", "/api/v2/queue/clear")
    assert queue() == []
    assert undone(api, undo_id).json()["restored"] == 5
    assert queue() == jobs


def test_finished_jobs_that_were_cleared_come_back(api, member):
    jobs = [factories.job(status, owner=member) for status in ("completed", "failed", "cancelled")]
    others = factories.job("completed")
    answer = api.send("POST", "/api/v2/queue/clear-finished", {"statuses": ["failed"]})
    assert (answer.json()["deleted"], answer.json()["complete"]) == (1, True)
    undo_id = taken(api, "POST", "/api/v2/queue/clear-finished")
    assert [state(job)[1] is None for job in (*jobs, others)] == [False, False, False, True]
    assert undone(api, undo_id).json()["restored"] == 2
    assert [state(job)[1] is None for job in jobs] == [True, False, True]


def test_jobs_that_failed_with_it_wait_again(django_capture_on_commit_callbacks):
    parent, child, grandchild = (factories.job() for _ in range(3))
    other_parent = factories.job()
    lost = factories.job()
    for job, of in ((child, parent), (grandchild, child), (lost, parent), (lost, other_parent)):
        JobDependency.objects.create(job=job, parent=of)
    with django_capture_on_commit_callbacks(execute=True):
        row = services.cancel(parent.pk, SYSTEM).undo
    with django_capture_on_commit_callbacks(execute=True):
        services.cancel(other_parent.pk, SYSTEM)
    assert [state(job)[0] for job in (child, grandchild, lost)] == ["failed"] * 3
    assert undo.undo(row.pk, SYSTEM).restored == 3
    found = [state(job)[0] for job in (parent, child, grandchild, lost)]
    assert found == ["pending", "pending", "pending", "failed"], "one is still without a parent"


def test_a_batch_waits_for_its_nod_again():
    batch = Batch.objects.create(total=2, run_first=1, created_at=timezone.now())
    jobs = [factories.job(batch=batch, held=True) for _ in range(2)]
    done = services.nod(batch.pk, SYSTEM, go=False)
    assert undo.undo(done.undo.pk, SYSTEM).restored == 2
    batch.refresh_from_db()
    assert batch.nodded_at is None
    assert {(job.status, job.held) for job in Job.objects.all()} == {("pending", True)}
    assert len(jobs) == 2


def test_a_crash_on_the_way_leaves_something_to_undo(api, member, monkeypatch):
    from jobs.services import undo as module

    monkeypatch.setattr(module, "_AT_ONCE", 2)
    jobs = [factories.job(owner=member, position=n) for n in range(5)]
    undo_id = taken(api, "POST", "/api/v2/queue/clear")
    real, calls = again.restore, []

    def dies(ids, **options):
        calls.append(ids)
        if len(calls) == 2:
            raise SystemExit
        return real(ids, **options)

    monkeypatch.setattr(again, "restore", dies)
    with pytest.raises(SystemExit):
        undo.undo(uuid.UUID(undo_id), services.find(jobs[0].pk, SYSTEM) and actor_of(member))
    assert len(queue()) == 2
    assert undone(api, undo_id).json()["restored"] == 3
    assert queue() == jobs


def actor_of(user):
    from apikeys.actors import Actor

    return Actor.of_user(user)


def test_no_deleted_job_is_purged_while_it_can_be_undone(api, member):
    job = factories.job("completed", owner=member)
    undo_id = taken(api, "DELETE", f"/api/v2/jobs/{job.pk}")
    assert purge.UNDO_SECONDS > undo.SECONDS
    purge.purge_deleted()
    assert undone(api, undo_id).json()["restored"] == 1


def test_what_can_not_be_undone_any_more_is_forgotten_after_a_day():
    job = factories.job()
    services.cancel(job.pk, SYSTEM)
    assert undo.forget() == 0
    Undo.objects.update(expires_at=timezone.now() - timedelta(days=2))
    assert undo.forget() == 1


def test_reading_alone_does_not_undo(member):
    reader = Api(factories.key(member, scopes=["jobs:read"])[1])
    assert undone(reader, uuid.uuid4()).status_code == 403
