"""contracts/api.md, the rows of `/api/v2/generate/bulk`: paths, statuses, exact field names."""

import uuid

import pytest

from apikeys.models import SCOPES
from jobs.choices import Status
from jobs.models import Batch, Event, Idempotency, Job, JobInput, QueueSettings
from tests import factories
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db
BULK = "/api/v2/generate/bulk"
PARAMS = {"positive_prompt": "a lighthouse", "width": 512, "height": 512, "steps": 4}


def order(**fields):
    return {"generation_params": PARAMS, "bulk_quantity": 3, **fields}


def seeds():
    return [job.generation_params["seed"] for job in Job.objects.order_by("position")]


def test_post_answers_202_with_all_jobs_and_their_places(api, member):
    factories.job(priority=1)
    factories.job(priority=9)
    answer = api.send("POST", BULK, order())
    assert answer.status_code == 202
    body = answer.json()
    assert set(body) == {
        "success",
        "bulk_job_id",
        "total_jobs",
        "jobs",
        "creation_timestamp",
        "warnings",
    }
    batch = Batch.objects.get()
    jobs = list(Job.objects.filter(batch=batch).order_by("position"))
    assert (body["success"], body["bulk_job_id"]) == (True, str(batch.pk))
    assert (body["total_jobs"], batch.total, len(jobs)) == (3, 3, 3)
    assert body["jobs"] == [
        {"mobilesd_job_id": str(job.pk), "queue_position": place}
        for place, job in enumerate(jobs, start=2)
    ]
    assert [Job.objects.place_of(job) for job in jobs] == [2, 3, 4]
    assert {job.owner for job in jobs} == {batch.owner} == {member}


def test_each_job_comes_with_its_event_in_order(api, member):
    body = api.send("POST", BULK, order()).json()
    told = Event.objects.filter(kind="job.created", owner=member).order_by("id")
    assert [str(event.job_id) for event in told] == [j["mobilesd_job_id"] for j in body["jobs"]]
    assert all(event.payload["status"] == "pending" for event in told)


def test_get_answers_the_counts_by_status(api):
    body = api.send("POST", BULK, order()).json()
    first, second, _ = (entry["mobilesd_job_id"] for entry in body["jobs"])
    Job.objects.filter(pk=first).update(status=Status.COMPLETED)
    api.send("DELETE", f"/api/v2/jobs/{second}")
    answer = api.send("GET", f"{BULK}/{body['bulk_job_id']}")
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "bulk_job_id": body["bulk_job_id"],
        "total_jobs": 3,
        "counts": {"pending": 1, "processing": 0, "completed": 1, "failed": 0, "cancelled": 0},
        "deleted": 1,
        "finished": False,
        "held": 0,
        "results": [],
        "batch_name": None,
        "run_first": None,
        "nodded_timestamp": None,
        "seed_variation": "incremental",
        "creation_timestamp": body["creation_timestamp"],
    }


def test_cancel_answers_how_many_and_cancels_what_waits_or_runs(api):
    body = api.send("POST", BULK, order()).json()
    waiting, running, done = (Job.objects.get(pk=j["mobilesd_job_id"]) for j in body["jobs"])
    Job.objects.filter(pk=running.pk).update(status=Status.PROCESSING, server_alias="a")
    attempt = factories.attempt(running)
    Job.objects.filter(pk=done.pk).update(status=Status.COMPLETED)
    other = factories.job()
    answer = api.send("POST", f"{BULK}/{body['bulk_job_id']}/cancel")
    assert answer.status_code == 200
    told = answer.json()
    assert (set(told), told["cancelled"]) == ({"success", "cancelled", "also", "undo"}, 2)
    assert told["undo"]
    states = dict(Job.objects.values_list("pk", "status"))
    assert states == {
        waiting.pk: Status.CANCELLED,
        running.pk: Status.CANCELLED,
        done.pk: Status.COMPLETED,
        other.pk: Status.PENDING,
    }
    attempt.refresh_from_db()
    assert (attempt.outcome, attempt.cleared_at) == ("cancelled", None)
    assert Event.objects.filter(kind="job.status", payload__status="cancelled").count() == 2
    again = api.send("POST", f"{BULK}/{body['bulk_job_id']}/cancel")
    assert again.json() == {"success": True, "cancelled": 0, "also": [], "undo": None}


@pytest.mark.parametrize(("method", "path"), [("GET", "{}"), ("POST", "{}/cancel")])
def test_the_batch_of_somebody_else_is_not_found(api, boss, method, path):
    batch = api.send("POST", BULK, order()).json()["bulk_job_id"]
    stranger = Api(factories.key(factories.user())[1])
    where = f"{BULK}/{path.format(batch)}"
    for client, name in ((stranger, where), (api, f"{BULK}/{path.format(uuid.uuid4())}")):
        answer = client.send(method, name)
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
    assert Job.objects.filter(status=Status.PENDING).count() == 3
    assert boss.send(method, where).status_code == 200


def test_the_scopes_are_asked_for():
    reader = Api(factories.key(factories.user(), scopes=["jobs:read"])[1])
    answer = reader.send("POST", BULK, order())
    assert (answer.status_code, answer.json()["error"]) == (403, "scope_missing")


def test_the_same_key_answers_200_with_the_same_batch(api):
    first = api.send("POST", BULK, order(idempotency_key="k"))
    again = api.send("POST", BULK, order(idempotency_key="k"))
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json()
    assert Job.objects.count() == 3
    assert Idempotency.objects.get().batch == Batch.objects.get()


def test_the_same_key_with_another_body_is_a_conflict(api):
    api.send("POST", BULK, order(idempotency_key="k"))
    for body, path in (
        (order(idempotency_key="k", bulk_quantity=4), BULK),
        ({"generation_params": PARAMS, "idempotency_key": "k"}, "/api/v2/generate"),
    ):
        answer = api.send("POST", path, body)
        assert (answer.status_code, answer.json()["error"]) == (409, "idempotency_conflict")
    assert Job.objects.count() == 3


@pytest.mark.parametrize(
    ("fields", "named", "code"),
    [
        ({"bulk_quantity": None}, "bulk_quantity", "missing_required_field"),
        ({"bulk_quantity": 0}, "bulk_quantity", "invalid_field_value"),
        ({"bulk_quantity": -1}, "bulk_quantity", "invalid_field_value"),
        ({"bulk_quantity": 1001}, "bulk_quantity", "invalid_field_value"),
        ({"bulk_quantity": "3"}, "bulk_quantity", "invalid_field_value"),
        ({"bulk_quantity": 2.0}, "bulk_quantity", "invalid_field_value"),
        ({"bulk_quantity": True}, "bulk_quantity", "invalid_field_value"),
        ({"seed_variation": "sometimes"}, "seed_variation", "invalid_field_value"),
        ({"seed_variation": 1}, "seed_variation", "invalid_field_value"),
        ({"base_seed": 2**64}, "base_seed", "invalid_field_value"),
        ({"base_seed": -2}, "base_seed", "invalid_field_value"),
        ({"base_seed": "1"}, "base_seed", "invalid_field_value"),
        ({"variations": []}, "variations", "invalid_field_value"),
        ({"variations": {"prompts": "a"}}, "variations.prompts", "invalid_field_value"),
        ({"variations": {"prompts": []}}, "variations.prompts", "invalid_field_value"),
        ({"variations": {"prompts": ["a", None]}}, "variations.prompts", "invalid_field_value"),
        (
            {"variations": {"prompts": ["a"], "positive_prompt": ["b"]}},
            "variations.positive_prompt",
            "invalid_field_value",
        ),
        (
            {"variations": {"mode": "sum", "fields": {}}},
            "variations.mode",
            "invalid_field_value",
        ),
        (
            {"variations": {"fields": {}, "prompts": ["a"]}},
            "variations.prompts",
            "invalid_field_value",
        ),
        (
            {"variations": {"mode": "zip", "fields": {"steps": [1, 2], "cfg_scale": [5]}}},
            "variations",
            "invalid_field_value",
        ),
        (
            {"variations": {"steps": list(range(1, 101)), "cfg_scale": list(range(11))}},
            "bulk_quantity",
            "invalid_field_value",
        ),
        (
            {"variations": {"seeds": [1, 2]}, "seed_variation": "random"},
            "seed_variation",
            "invalid_field_value",
        ),
        ({"variations": {"seeds": [1, 2]}, "base_seed": 7}, "base_seed", "invalid_field_value"),
        (
            {"variations": {"steps": [4, 0]}},
            "generation_params.steps",
            "invalid_field_value",
        ),
        ({"priority": 0}, "priority", "invalid_field_value"),
        ({"generation_params": None}, "generation_params", "missing_required_field"),
        ({"target_server_alias": "nowhere"}, "target_server_alias", "invalid_field_value"),
    ],
)
def test_what_can_not_be_taken_is_400_and_changes_nothing(api, rows, fields, named, code):
    before = rows()
    answer = api.send("POST", BULK, order(**fields))
    assert (answer.status_code, answer.json()["error"]) == (400, code)
    assert named in answer.json()["details"]["fields"]
    assert (rows(), Batch.objects.count()) == (before, 0)


def test_a_wrong_combination_is_named(api):
    answer = api.send("POST", BULK, order(variations={"steps": [4, 5, 501]}))
    assert "Combination 3" in answer.json()["message"]
    assert answer.json()["details"]["combination"] == 3


def test_closed_submissions_are_503(api, rows):
    QueueSettings.objects.create(accept_submissions=False)
    before = rows()
    answer = api.send("POST", BULK, order())
    assert (answer.status_code, answer.json()["error"]) == (503, "submissions_closed")
    assert answer["Retry-After"] == "60"
    assert rows() == before


def test_the_quota_counts_every_job(member):
    client = Api(factories.key(member, jobs_per_day=4)[1])
    assert client.send("POST", BULK, order()).status_code == 202
    answer = client.send("POST", BULK, order(bulk_quantity=2))
    assert (answer.status_code, answer.json()["error"]) == (429, "quota_exceeded")
    assert (Job.objects.count(), Batch.objects.count()) == (3, 1)


@pytest.mark.parametrize("asked", [2, 5], ids=["too many by now", "more than ever fit"])
def test_the_refusal_says_how_many_jobs_were_asked_for(member, asked):
    client = Api(factories.key(member, jobs_per_day=4)[1])
    assert client.send("POST", BULK, order()).status_code == 202
    details = client.send("POST", BULK, order(bulk_quantity=asked)).json()["details"]
    told = {name: details[name] for name in ("quota", "limit", "used", "jobs")}
    assert told == {"quota": "jobs_per_day", "limit": 4, "used": 3, "jobs": asked}


def test_a_key_that_may_not_use_the_app_type_is_refused(member):
    client = Api(factories.key(member, allowed_app_types=["other"])[1])
    answer = client.send("POST", BULK, order())
    assert (answer.status_code, answer.json()["error"]) == (403, "app_type_not_allowed")


def test_a_bulk_counts_one_submission_for_each_fifty_jobs(member):
    client = Api(factories.key(member, rate_limit=10)[1])
    answer = client.send("POST", BULK, order(bulk_quantity=101))
    assert answer.status_code == 202
    assert answer["X-RateLimit-Remaining"] == "7"


def test_inputs_are_stored_once_and_tied_to_each_job(api, rows, data_dir):
    import base64
    import os

    from PIL import Image

    noise = Image.frombytes("RGB", (64, 64), os.urandom(64 * 64 * 3))
    path = data_dir / "noise.png"
    noise.save(path)
    picture = base64.b64encode(path.read_bytes()).decode()
    params = {**PARAMS, "init_images": [picture]}
    body = order(generation_params=params, variations={"denoising_strength": [0.2, 0.5]})
    assert api.send("POST", BULK, body).status_code == 202
    assert rows()["files"] == 1
    assert JobInput.objects.count() == 6
    for job in Job.objects.all():
        [mark] = job.generation_params["init_images"]
        assert mark["$input"] == job.inputs.get().sha256


def test_a_key_of_the_installation_and_one_of_a_member_share_nothing(api):
    other = Api(factories.key(scopes=SCOPES)[1])
    for client in (api, other):
        assert client.send("POST", BULK, order(idempotency_key="k")).status_code == 202
    assert Batch.objects.count() == 2


def test_generate_names_the_way_to_make_many(api):
    answer = api.send("POST", "/api/v2/generate", order())
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_parameter")
    assert BULK in answer.json()["details"]["hint"]
