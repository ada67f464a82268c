"""contracts/api.md, the row of `PATCH /api/v2/jobs/{id}`."""

import base64
import io
import os
import uuid
from unittest.mock import ANY

import pytest
from django.utils import timezone
from PIL import Image

from jobs.choices import Status
from jobs.inputs import restore
from jobs.models import Event, Job, JobInput
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
PARAMS = {
    "positive_prompt": "a lighthouse",
    "width": 512,
    "height": 512,
    "steps": 4,
    "seed": 7,
    "my_own": 1,
}


@pytest.fixture
def job(api):
    return submitted(api, PARAMS)


def submitted(api, params, **fields):
    answer = api.send("POST", "/api/v2/generate", {"generation_params": params, **fields})
    assert answer.status_code == 202, answer.json()
    return Job.objects.get(pk=answer.json()["mobilesd_job_id"])


def path(job):
    return f"/api/v2/jobs/{job.pk}"


def patched(client, job, **body):
    answer = client.send("PATCH", path(job), body)
    assert answer.status_code == 200, answer.json()
    job.refresh_from_db()
    return answer.json()["job"]


def noise(size=64):
    stream = io.BytesIO()
    Image.frombytes("RGB", (size, size), os.urandom(size * size * 3)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def test_it_answers_the_job_as_it_is_then(api, job):
    factories.server("gpu")
    body = {
        "priority": 2,
        "lane": "background",
        "target_server_alias": "gpu",
        "not_before": "2099-01-01T00:00:00Z",
        "deadline": "2099-01-02T00:00:00Z",
        "source_info": "a script",
    }
    answer = api.send("PATCH", path(job), body)
    assert answer.status_code == 200
    assert set(answer.json()) == {"success", "message", "job"}
    shown = answer.json()["job"]
    assert {name: shown[name] for name in body} == {
        **body,
        "not_before": "2099-01-01T00:00:00.000Z",
        "deadline": "2099-01-02T00:00:00.000Z",
    }
    assert shown["generation_params"] == job.generation_params, "what is not named stays"


def test_everybody_who_may_see_it_hears_of_it(api, job, member):
    patched(api, job, priority=1, generation_params={"steps": 5})
    event = Event.objects.get(kind="job.changed")
    assert (event.job_id, event.owner) == (job.pk, member)
    assert event.payload == {
        "job": str(job.pk),
        "status": "pending",
        "fields": ["priority", "generation_params"],
        "request_id": ANY,
        "by": ANY,
    }


def test_given_parameters_replace_and_null_removes(api, job):
    patched(api, job, generation_params={"prompt": "a boat", "steps": 9, "my_own": None})
    assert job.generation_params == {
        "positive_prompt": "a boat",
        "width": 512,
        "height": 512,
        "steps": 9,
        "seed": 7,
    }


def test_what_follows_from_the_parameters_follows(api, job):
    picture = base64.b64encode(factories.png()).decode()
    changes = {"checkpoint": "v1-5", "init_images": [picture], "batch_size": 3}
    patched(api, job, generation_params=changes)
    assert (job.kind, job.checkpoint, job.images_wanted) == ("img2img", "v1-5", 3)


def test_a_removed_seed_is_drawn_anew(api, job):
    patched(api, job, generation_params={"seed": -1})
    assert 0 <= job.generation_params["seed"] < 2**32


@pytest.mark.parametrize("target", [None, ""])
def test_any_server_is_null(api, member, target):
    factories.server("gpu")
    job = factories.job(owner=member, target_server_alias="gpu", avoid_servers=["a"])
    assert patched(api, job, target_server_alias=target)["target_server_alias"] is None
    assert job.avoid_servers == []


def test_empty_texts_take_times_and_source_away(api, member):
    later = timezone.now() + timezone.timedelta(days=1)
    job = factories.job(owner=member, not_before=timezone.now(), deadline=later, source_info="x")
    patched(api, job, not_before="", deadline="", source_info="")
    assert (job.not_before, job.deadline, job.source_info) == (None, None, "")


def test_a_job_whose_server_was_removed_can_still_be_changed(api, member):
    job = factories.job(owner=member, target_server_alias="gone")
    assert patched(api, job, priority=1)["priority"] == 1


def test_inputs_that_stay_are_kept_and_those_that_go_are_let_go(api):
    first, second = noise(), noise()
    job = submitted(api, {**PARAMS, "init_images": [first]})
    kept = job.generation_params["init_images"]
    patched(api, job, generation_params={"denoising_strength": 0.5})
    assert job.generation_params["init_images"] == kept
    assert restore(job.generation_params)["init_images"] == [first]
    assert job.inputs.get().sha256 == kept[0]["$input"]
    patched(api, job, generation_params={"init_images": [second, second]})
    assert restore(job.generation_params)["init_images"] == [second, second]
    assert JobInput.objects.get().sha256 == job.generation_params["init_images"][0]["$input"]
    patched(api, job, generation_params={"init_images": None})
    assert not JobInput.objects.exists()
    assert job.kind == "txt2img"


def test_what_was_read_can_be_sent_back_and_nothing_of_others(api):
    job = submitted(api, {**PARAMS, "init_images": [noise()]})
    other = submitted(api, {**PARAMS, "init_images": [noise()]})
    patched(api, job, generation_params=job.generation_params)
    stolen = {"init_images": other.generation_params["init_images"]}
    answer = api.send("PATCH", path(job), {"generation_params": stolen})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_field_value")


def test_true_is_not_one(api, job):
    patched(api, job, generation_params={"my_own": True})
    assert job.generation_params["my_own"] is True


@pytest.mark.parametrize(
    ("body", "named", "code"),
    [
        ({}, "generation_params", "missing_required_field"),
        ({"priority": None}, "generation_params", "missing_required_field"),
        ({"priority": 11}, "priority", "invalid_field_value"),
        ({"priority": "1"}, "priority", "invalid_field_value"),
        ({"lane": "fast"}, "lane", "invalid_field_value"),
        ({"target_server_alias": "nowhere"}, "target_server_alias", "invalid_field_value"),
        ({"target_server_alias": 3}, "target_server_alias", "invalid_field_value"),
        ({"deadline": "2001-01-01T00:00:00Z"}, "deadline", "invalid_field_value"),
        ({"not_before": "soon"}, "not_before", "invalid_field_value"),
        ({"source_info": "x" * 201}, "source_info", "invalid_field_value"),
        ({"status": "completed"}, "status", "unsupported_parameter"),
        ({"app_type": "forge"}, "app_type", "unsupported_parameter"),
        ({"generation_params": []}, "generation_params", "invalid_field_value"),
        ({"generation_params": {"steps": 0}}, "generation_params.steps", "invalid_field_value"),
        (
            {"generation_params": {"prompt": "a", "positive_prompt": "b"}},
            "generation_params.positive_prompt",
            "invalid_field_value",
        ),
        (
            {"generation_params": {"height": 8192, "width": 8192}},
            "generation_params.width",
            "invalid_field_value",
        ),
    ],
)
def test_what_can_not_be_taken_is_400_and_changes_nothing(api, job, body, named, code):
    before = Job.objects.values().get(pk=job.pk)
    answer = api.send("PATCH", path(job), body)
    assert (answer.status_code, answer.json()["error"]) == (400, code)
    assert named in answer.json()["details"]["fields"]
    assert Job.objects.values().get(pk=job.pk) == before
    assert not Event.objects.filter(kind="job.changed").exists()


@pytest.mark.parametrize("status", [s for s in Status.values if s != Status.PENDING])
def test_what_does_not_wait_any_more_is_409(api, member, status):
    job = factories.job(status, owner=member)
    answer = api.send("PATCH", path(job), {"priority": 1})
    assert (answer.status_code, answer.json()["error"]) == (409, "job_operation_conflict")
    job.refresh_from_db()
    assert job.priority == 5


def test_the_job_of_somebody_else_is_not_found(job):
    stranger = Api(factories.key(factories.user())[1])
    for name in (path(job), f"/api/v2/jobs/{uuid.uuid4()}"):
        answer = stranger.send("PATCH", name, {"priority": 1})
        assert (answer.status_code, answer.json()["error"]) == (404, "job_not_found")


def test_a_key_for_other_app_types_may_not_change_it(job, member):
    client = Api(factories.key(member, allowed_app_types=["other"])[1])
    answer = client.send("PATCH", path(job), {"priority": 1})
    assert (answer.status_code, answer.json()["error"]) == (403, "app_type_not_allowed")


def test_a_lane_is_woken(api, job, django_capture_on_commit_callbacks):
    server = factories.server("gpu")
    with django_capture_on_commit_callbacks(execute=True):
        patched(api, job, target_server_alias="gpu")
    seq = server.wake_seq
    server.refresh_from_db()
    assert server.wake_seq > seq


def test_a_claim_in_between_wins(api, job, monkeypatch):
    """The job is claimed after it was read and before it is written."""
    from jobs.services import edit

    taken = edit.normalise

    def claimed(*args, **kwargs):
        # In the same microsecond, so that only the state tells it from the job that was read.
        Job.objects.filter(pk=job.pk).update(status=Status.PROCESSING, server_alias="a")
        return taken(*args, **kwargs)

    monkeypatch.setattr(edit, "normalise", claimed)
    answer = api.send("PATCH", path(job), {"generation_params": {"steps": 9}})
    assert answer.status_code == 409
    job.refresh_from_db()
    assert job.generation_params["steps"] == 4


def test_of_two_changes_at_once_both_take_effect(api, job, monkeypatch):
    from jobs.services import edit

    taken, others = edit.normalise, [{"priority": 3}, {"generation_params": {"width": 1024}}]

    def changed_by_another(*args, **kwargs):
        if others:
            body = others.pop()
            assert api.send("PATCH", path(job), body).status_code == 200
        return taken(*args, **kwargs)

    monkeypatch.setattr(edit, "normalise", changed_by_another)
    patched(api, job, generation_params={"steps": 9})
    assert (job.priority, job.generation_params["width"], job.generation_params["steps"]) == (
        3,
        1024,
        9,
    )
