"""POST /api/v2/queue/priority: many jobs get a priority, all of them or none."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from apikeys.actors import SYSTEM, Actor
from jobs import services
from jobs.choices import Status
from jobs.models import Event, Job
from mobilesd.errors import Problem
from tests import factories

pytestmark = pytest.mark.django_db
PATH = "/api/v2/queue/priority"


def ids(*jobs):
    return [str(job.pk) for job in jobs]


def priorities():
    return sorted(Job.objects.values_list("priority", flat=True))


def test_they_get_it_and_the_others_are_named(api, member):
    mine = [factories.job(owner=member, priority=n) for n in (5, 2, 7)]
    running = factories.job(Status.PROCESSING, owner=member)
    strange = factories.job()
    named = [*ids(mine[2], mine[0], mine[1], running, strange), str(uuid.uuid4())]
    answer = api.send("POST", PATH, {"jobs": named, "priority": 2})
    assert answer.status_code == 200
    said = answer.json()
    assert said["message"] == "Priority 2 for 3 jobs."
    assert sorted(said["changed"]) == sorted(ids(*mine))
    assert [left["status"] for left in said["skipped"]] == ["processing", None, None]
    assert [Job.objects.get(pk=job.pk).priority for job in mine] == [2, 2, 2]
    assert Job.objects.get(pk=strange.pk).priority == 5
    told = Event.objects.filter(kind="job.changed")  # the one that had it already is not told of
    assert {event.payload["job"] for event in told} == set(ids(mine[0], mine[2]))
    assert {tuple(event.payload["fields"]) for event in told} == {("priority",)}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"priority": 1}, "missing_required_field"),
        ({"jobs": []}, "missing_required_field"),
        ({"jobs": [], "priority": 1}, "invalid_field_value"),
        ({"jobs": ["x"], "priority": 1}, "invalid_field_value"),
        ({"jobs": [1], "priority": 1, "more": 1}, "unsupported_parameter"),
        *(
            ({"jobs": [str(uuid.uuid4())], "priority": n}, None)
            for n in (0, 11, -1, 1.5, "2", True)
        ),
        ({"jobs": [str(uuid.uuid4()) for _ in range(1001)], "priority": 1}, None),
    ],
)
def test_a_wrong_request_is_refused_in_words(api, body, error):
    answer = api.send("POST", PATH, body)
    assert answer.status_code == 400
    assert answer.json()["error"] == (error or "invalid_field_value")


def test_a_deadline_that_has_passed_is_no_matter_of_a_priority(member):
    late = timezone.now() - timedelta(minutes=1)
    jobs = [factories.job(owner=member, deadline=each) for each in (None, late, None)]
    services.prioritise_many([job.pk for job in jobs], 1, Actor.of_user(member))
    assert priorities() == [1, 1, 1]
    services.patch(jobs[1].pk, Actor.of_user(member), {"priority": 9}, {})
    assert Job.objects.get(pk=jobs[1].pk).priority == 9


def test_a_change_of_the_times_still_looks_at_the_deadline(member):
    late = timezone.now() - timedelta(minutes=1)
    job = factories.job(owner=member, deadline=late)
    with pytest.raises(Problem) as refused:
        services.patch(job.pk, Actor.of_user(member), {"not_before": late}, {})
    assert "deadline" in refused.value.fields


def test_a_key_that_may_not_do_an_app_type_changes_none():
    row, _ = factories.key(allowed_app_types=["other"])
    jobs = [factories.job(api_key=row, app_type=app_type) for app_type in ("other", "forge")]
    with pytest.raises(Problem):
        services.prioritise_many([job.pk for job in jobs], 1, Actor.of_key(row))
    assert priorities() == [5, 5]


def test_the_servers_that_could_take_them_are_woken():
    server = factories.server()
    before = server.wake_seq
    job = factories.job()
    services.prioritise_many([job.pk], 1, SYSTEM)
    server.refresh_from_db()
    assert server.wake_seq > before
