"""Submitting a job by v1 and v2."""

import re

import pytest
from django.db import transaction

from apikeys.actors import Actor
from jobs import transitions
from jobs.choices import Status
from jobs.models import Event, Job
from tests import factories

pytestmark = pytest.mark.django_db
V1, V2 = "/api/v1/generate", "/api/v2/generate"
PARAMS = {"positive_prompt": "a lighthouse", "width": 512, "height": 768, "steps": 20}


def test_v1_answers_202_with_the_id(api):
    answer = api.send("POST", V1, {"generation_params": PARAMS, "target_server_alias": None})
    assert answer.status_code == 202
    assert answer.json() == {"mobilesd_job_id": str(Job.objects.get().pk)}


def test_v2_answers_202_with_the_place_in_the_queue(api, member):
    factories.job(priority=1)
    factories.job(priority=9)
    answer = api.send("POST", V2, {"generation_params": PARAMS})
    job = Job.objects.get(owner=member)
    assert answer.status_code == 202
    body = answer.json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body.pop("creation_timestamp"))
    assert body == {
        "success": True,
        "mobilesd_job_id": str(job.pk),
        "queue_position": 2,
        "app_type": "forge",
        "target_server_alias": None,
        "estimated_start_time": None,
        "warnings": [],
    }


def test_the_job_is_stored_as_it_was_ordered(api, member):
    factories.server("gpu")
    answer = api.send(
        "POST",
        V2,
        {
            "generation_params": {**PARAMS, "seed": 0},
            "target_server_alias": "gpu",
            "source_info": "a script",
            "priority": 2,
            "lane": "background",
            "not_before": "2099-01-01T00:00:00+02:00",
            "deadline": "2099-01-02T00:00:00Z",
        },
    )
    job = Job.objects.get(pk=answer.json()["mobilesd_job_id"])
    assert job.status == Status.PENDING
    assert job.generation_params["seed"] == 0
    assert job.generation_params["height"] == 768
    assert (job.target_server_alias, job.source_info) == ("gpu", "a script")
    assert (job.priority, job.lane_class) == (2, "background")
    assert job.not_before.isoformat() == "2098-12-31T22:00:00+00:00"
    assert job.owner == member
    assert job.api_key_id == member.api_keys.get().prefix


def test_a_key_without_owner_submits_for_the_installation(boss):
    boss.send("POST", V2, {"generation_params": PARAMS})
    assert Job.objects.get().owner is None


def test_a_submission_comes_with_its_event(api, member):
    api.send("POST", V2, {"generation_params": PARAMS})
    event = Event.objects.get()
    job = Job.objects.get()
    assert (event.kind, event.job_id, event.owner_id) == ("job.created", job.pk, member.pk)


def test_a_seed_of_minus_one_is_drawn_at_submission(api):
    api.send("POST", V2, {"generation_params": {**PARAMS, "seed": -1}})
    assert Job.objects.get().generation_params["seed"] >= 0


def test_the_app_type_is_that_of_the_named_server(api, settings):
    settings.DISPATCHERS = {**settings.DISPATCHERS, "other": settings.DISPATCHERS["forge"]}
    factories.server("odd", app_type="other")
    answer = api.send("POST", V2, {"generation_params": PARAMS, "target_server_alias": "odd"})
    assert answer.json()["app_type"] == "other"


def test_unknown_fields_are_reported_and_kept_where_they_can_be(api):
    body = {"generation_params": {**PARAMS, "my_own": 1}, "prompt": "misplaced"}
    warnings = api.send("POST", V2, body).json()["warnings"]
    assert any("my_own" in text for text in warnings)
    assert any("prompt" in text and "generation_params" in text for text in warnings)
    assert Job.objects.get().generation_params["my_own"] == 1
    assert Job.objects.get().warnings == warnings


def test_nulls_count_as_absent(api):
    body = {"generation_params": {**PARAMS, "steps": None}, "priority": None, "lane": None}
    assert api.send("POST", V2, body).status_code == 202
    assert Job.objects.get().priority == 5


def test_a_page_submits_by_its_session(member):
    from tests.api.conftest import Api

    page = Api(enforce_csrf_checks=True)
    page.force_login(member)
    token = "a" * 32
    page.cookies["csrftoken"] = token
    refused = page.send("POST", V2, {"generation_params": PARAMS})
    assert (refused.status_code, refused.json()["error"]) == (403, "csrf_failed")
    taken = page.send("POST", V2, {"generation_params": PARAMS}, **{"X-CSRFToken": token})
    assert taken.status_code == 202
    assert Job.objects.get().owner == member
    assert Job.objects.visible_to(Actor.of_user(member)).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_sleeping_server_gets_a_kick_after_the_commit(api):
    from django_q.models import OrmQ

    factories.server("gpu")
    api.send("POST", V2, {"generation_params": PARAMS})
    assert OrmQ.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_server_with_a_lane_gets_no_task(api):
    import uuid

    from django_q.models import OrmQ

    server = factories.server("gpu", lane_token=uuid.uuid4())
    api.send("POST", V2, {"generation_params": PARAMS})
    assert OrmQ.objects.count() == 0
    before = server.wake_seq
    server.refresh_from_db()
    assert server.wake_seq > before


def test_override_settings_that_are_not_sent_are_warned_of_at_once(api):
    params = {**PARAMS, "override_settings": {"eta_noise_seed_delta": 31337, "return_grid": True}}
    warning = (
        "override_settings.eta_noise_seed_delta, override_settings.return_grid were left out: they"
        " would stay set for later jobs."
    )
    answer = api.send("POST", V2, {"generation_params": params})
    assert answer.status_code == 202
    assert answer.json()["warnings"] == [warning]
    job = Job.objects.get()
    assert job.warnings == [warning]
    attempt = factories.attempt(Job.objects.get())
    Job.objects.update(status=Status.PROCESSING)
    with transaction.atomic():
        done = transitions.complete(attempt.token, generation_info={}, warnings=[warning])
    assert done.warnings == [warning]  # the same sentence again says nothing new


def test_each_job_of_a_bulk_is_warned_of_its_own_overrides(api):
    lists = {"override_settings": [{"return_grid": True}, {}]}
    body = {"generation_params": PARAMS, "variations": lists}
    assert api.send("POST", f"{V2}/bulk", body).status_code == 202
    assert sorted(len(job.warnings) for job in Job.objects.all()) == [0, 1]
