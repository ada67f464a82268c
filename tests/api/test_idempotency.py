"""The same order sent again is the same job: after a lost answer, in a race, after a delete."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from apikeys.models import SCOPES
from jobs.models import Event, Idempotency, Job
from tests import factories
from tests.api.conftest import Api

GENERATE = "/api/v2/generate"
ORDER = {"generation_params": {"positive_prompt": "a cat", "seed": -1}, "idempotency_key": "k1"}

pytestmark = pytest.mark.django_db


def test_the_same_body_again_answers_200_with_the_same_job(api):
    first = api.send("POST", GENERATE, ORDER)
    again = api.send("POST", GENERATE, ORDER)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json()
    assert Job.objects.count() == 1
    assert Event.objects.count() == 1


def test_it_works_for_v1_too(api):
    first = api.send("POST", "/api/v1/generate", ORDER)
    again = api.send("POST", "/api/v1/generate", ORDER)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json()


def test_the_order_of_names_and_nulls_make_no_other_body(api):
    first = api.send("POST", GENERATE, ORDER)
    turned = {name: ORDER[name] for name in reversed(ORDER)} | {"app_type": None}
    assert api.send("POST", GENERATE, turned).json() == first.json()


def test_another_body_with_the_same_key_is_a_conflict(api):
    first = api.send("POST", GENERATE, ORDER).json()["mobilesd_job_id"]
    other = {**ORDER, "generation_params": {"positive_prompt": "a dog"}}
    answer = api.send("POST", GENERATE, other)
    assert answer.status_code == 409
    assert answer.json()["error"] == "idempotency_conflict"
    assert answer.json()["details"]["mobilesd_job_id"] == first
    assert Job.objects.count() == 1


def test_a_refused_order_does_not_use_up_its_key(api):
    bad = {**ORDER, "generation_params": {"positive_prompt": "a cat", "width": 0}}
    assert api.send("POST", GENERATE, bad).status_code == 400
    assert Idempotency.objects.count() == 0
    assert api.send("POST", GENERATE, ORDER).status_code == 202


def test_the_keys_of_an_owner_are_shared_and_of_others_are_not(api, member, boss):
    first = api.send("POST", GENERATE, ORDER).json()["mobilesd_job_id"]
    second_key = Api(factories.key(member)[1])
    assert second_key.send("POST", GENERATE, ORDER).json()["mobilesd_job_id"] == first
    for other in (boss, Api(factories.key(scopes=SCOPES)[1])):
        assert other.send("POST", GENERATE, ORDER).status_code == 202
    assert Job.objects.count() == 3


def test_a_deleted_job_is_answered_as_deleted_and_not_made_again(api):
    job_id = api.send("POST", GENERATE, ORDER).json()["mobilesd_job_id"]
    assert api.send("DELETE", f"/api/v2/jobs/{job_id}").status_code == 200
    again = api.send("POST", GENERATE, ORDER)
    assert again.status_code == 200
    assert again.json()["deleted"] is True
    assert again.json()["mobilesd_job_id"] == job_id
    Job.objects.all().delete()  # purged after the undo time
    again = api.send("POST", GENERATE, ORDER)
    assert (again.status_code, again.json()["deleted"]) == (200, True)
    assert Job.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_wins_and_all_get_its_job():
    _, token = factories.key()
    senders = 6
    barrier = threading.Barrier(senders)

    def send(_):
        client = Api(token)
        barrier.wait()
        try:
            answer = client.send("POST", GENERATE, ORDER)
            return answer.status_code, answer.json()["mobilesd_job_id"]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(senders) as pool:
        answers = list(pool.map(send, range(senders)))
    assert sorted(status for status, _ in answers) == [200] * (senders - 1) + [202]
    assert len({job_id for _, job_id in answers}) == 1
    assert Job.objects.count() == 1
    assert Event.objects.filter(kind="job.created").count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_loser_of_a_race_leaves_nothing_behind(monkeypatch):
    """The other request commits between this one's look and its insert."""
    from jobs import inputs

    _, token = factories.key()
    take = inputs.take
    won = []

    def taken_late(params, actor):
        if not won:
            won.append(None)
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
        return take(params, actor)

    def other():
        won[0] = Api(token).send("POST", GENERATE, ORDER).json()["mobilesd_job_id"]
        connections.close_all()

    monkeypatch.setattr(inputs, "take", taken_late)
    answer = Api(token).send("POST", GENERATE, ORDER)
    assert answer.status_code == 200
    assert answer.json()["mobilesd_job_id"] == won[0]
    assert Job.objects.count() == 1
    assert Event.objects.count() == 1
