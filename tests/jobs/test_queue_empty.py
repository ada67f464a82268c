"""queue.empty: told once, with the end of the last job, to whom it concerns."""

import threading

import pytest
from django.db import connections, transaction

from apikeys.actors import SYSTEM, Actor
from jobs import services, transitions
from jobs.choices import Status
from jobs.models import Event, Job, JobDependency, Webhook
from jobs.webhooks.fanout import fan_out
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


def told():
    rows = Event.objects.filter(kind="queue.empty").order_by("pk")
    return [(row.owner_id, row.payload["whole"]) for row in rows]


def end(job):
    attempt = factories.attempt(job)
    Job.objects.filter(pk=job.pk).update(status=Status.PROCESSING)
    with transaction.atomic():
        assert transitions.complete(attempt.token, generation_info={}, warnings=[])


def test_the_last_end_tells_its_owner_and_those_who_see_all():
    anna, ben = factories.user(), factories.user()
    jobs = [factories.job(owner=anna), factories.job(owner=anna), factories.job(owner=ben)]
    end(jobs[0])
    assert told() == []
    end(jobs[1])
    assert told() == [(anna.pk, False)]
    end(jobs[2])
    assert told() == [(anna.pk, False), (ben.pk, False), (None, True)]


@pytest.mark.parametrize("status", [Status.PENDING, Status.PROCESSING])
def test_while_anything_waits_or_runs_it_is_not_empty(status):
    factories.job(status)
    end(factories.job())
    assert told() == []


def test_what_waits_for_a_nod_does_not_count():
    factories.job(held=True)
    end(factories.job())
    assert told() == [(None, True)]


def test_cancelling_all_that_wait_tells_it_once():
    anna = factories.user()
    for _ in range(5):
        factories.job(owner=anna)
    services.cancel_all(Actor.of_user(anna))
    assert told() == [(anna.pk, False), (None, True)]


def test_a_failure_that_takes_its_children_along_tells_it_once():
    parent = factories.job()
    child = factories.job()
    JobDependency.objects.create(job=child, parent=parent, on_failure="cancel")
    services.cancel(parent.pk, SYSTEM)
    assert Job.objects.get(pk=child.pk).status == Status.FAILED
    assert told() == [(None, True)]


def test_two_last_jobs_that_end_at_once_tell_it_once():
    jobs = [factories.job(), factories.job()]
    barrier = threading.Barrier(2)

    def run(job):
        try:
            barrier.wait()
            end(job)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told() == [(None, True)]


def test_a_webhook_is_told_of_its_owners_last_job_or_of_the_last_of_all():
    anna, boss = factories.user(), factories.staff()
    hooks = {
        user: Webhook.objects.create(
            owner=user,
            sees_all_jobs=user.is_staff,
            url="https://example.com",
            events=["queue.empty"],
            created_at=user.date_joined,
        )
        for user in (anna, boss)
    }
    theirs = factories.job()
    end(factories.job(owner=anna))
    end(theirs)
    for user, hook in hooks.items():
        fan_out(hook, Actor.of_user(user), after=0, newest=Event.objects.last_id())
    bodies = {user: [row.body for row in hook.deliveries.all()] for user, hook in hooks.items()}
    assert [len(rows) for rows in bodies.values()] == [1, 1]
    assert '"whole":false' in bodies[anna][0].replace(" ", "")
    assert '"whole":true' in bodies[boss][0].replace(" ", "")
