"""Orders that come as an infotext, over REST: generation_info_raw."""

import pytest

from jobs.models import Job
from jobs.params.normalise import normalise
from tests.api.conftest import Api
from tests.infotext.test_round_trip import FOREIGN, recorded

pytestmark = pytest.mark.django_db
V1, V2 = "/api/v1/generate", "/api/v2/generate"
TEXT = (
    "a cat, <lora:fur:0.8>\nin the rain\nNegative prompt: blurry\nSteps: 12, Sampler: Euler a,"
    " Schedule type: Karras, CFG scale: 6.5, Seed: 4711, Size: 512x768, Model hash: e1758bd15a,"
    ' Model: random_a, Batch size: 2, Batch pos: 1, Lora hashes: "fur: 1f", Version: f2.0.1'
)
PARAMS = {
    "positive_prompt": "a cat, <lora:fur:0.8>\nin the rain",
    "negative_prompt": "blurry",
    "steps": 12,
    "sampler_name": "Euler a",
    "scheduler": "Karras",
    "cfg_scale": 6.5,
    "seed": 4711,
    "width": 512,
    "height": 768,
    "model_hash": "e1758bd15a",
    "checkpoint_name": "random_a [e1758bd15a]",
}


def submit(api: Api, body, path=V2):
    answer = api.send("POST", path, body)
    assert answer.status_code == 202, answer.content
    job = Job.objects.get(pk=answer.json()["mobilesd_job_id"])
    return job, answer.json().get("warnings", [])


@pytest.mark.parametrize("path", [V1, V2])
def test_an_infotext_becomes_one_picture_with_its_seed(api, path):
    job, warnings = submit(api, {"generation_info_raw": TEXT}, path)
    kept = job.generation_params.pop("infotext_fields")
    assert job.generation_params == PARAMS
    assert job.images_wanted == 1
    assert job.checkpoint == "random_a [e1758bd15a]"
    # As a set: PostgreSQL keeps no order of the names in an object.
    assert set(kept) == {"Batch size", "Batch pos", "Lora hashes", "Version"}
    assert warnings == []


def test_parameters_win_field_by_field_and_that_is_said(api):
    given = {
        "prompt": "a dog",
        "steps": 12,
        "seed": 1,
        "checkpoint": "random_a",
        "scheduler_or_quality_preset": "simple",
        "cfg_scale": None,
        "batch_size": 2,
    }
    job, warnings = submit(api, {"generation_info_raw": TEXT, "generation_params": given})
    changed = {"positive_prompt": "a dog", "seed": 1, "scheduler": "Simple", "batch_size": 2}
    job.generation_params.pop("infotext_fields")
    assert job.generation_params == {**PARAMS, **changed, "checkpoint_name": "random_a"}
    assert warnings == [
        f"generation_params.{name} is used, not that of generation_info_raw."
        for name in ("positive_prompt", "seed", "scheduler")
    ]


def test_overrides_of_the_engine_win_as_well(api):
    overrides = {"sd_model_checkpoint": "other", "CLIP_stop_at_last_layers": 1}
    given = {"override_settings": overrides}
    raw = f"{TEXT}, Clip skip: 2"
    job, warnings = submit(api, {"generation_info_raw": raw, "generation_params": given})
    assert job.checkpoint == "other"
    assert "clip_skip" not in job.generation_params
    assert len(warnings) == 2


def test_a_wrong_parameter_is_refused_by_its_own_name(api):
    body = {"generation_info_raw": TEXT, "generation_params": {"steps": "many"}}
    answer = api.send("POST", V2, body)
    assert answer.status_code == 400
    assert list(answer.json()["details"]["fields"]) == ["generation_params.steps"]


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (5, "invalid_field_value"),
        (["a"], "invalid_field_value"),
        ("x" * 262_145, "invalid_field_value"),
        ("\ufeff \n", "missing_required_field"),
    ],
)
def test_a_text_that_can_not_be_taken_is_named(api, raw, error):
    answer = api.send("POST", V2, {"generation_info_raw": raw})
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert list(answer.json()["details"]["fields"]) == ["generation_info_raw"]
    assert not Job.objects.exists()


def test_a_prompt_that_is_too_long_is_refused_as_such(api):
    answer = api.send("POST", V2, {"generation_info_raw": "x" * 70_000})
    assert answer.status_code == 400
    assert list(answer.json()["details"]["fields"]) == ["generation_params.positive_prompt"]


def test_an_empty_text_is_as_none(api):
    answer = api.send("POST", V2, {"generation_info_raw": ""})
    assert list(answer.json()["details"]["fields"]) == ["generation_params"]
    submit(api, {"generation_info_raw": "", "generation_params": {"prompt": "a cat"}})


@pytest.mark.parametrize("raw", [*recorded()[:6], *FOREIGN, "a cat", "Negative prompt: x"])
def test_every_real_text_is_taken(api, raw):
    job, _ = submit(api, {"generation_info_raw": raw})
    again = normalise(job.generation_params, app_type="forge")
    assert again.params == job.generation_params


def test_the_same_key_with_another_text_is_a_conflict(api):
    body = {"generation_info_raw": TEXT, "idempotency_key": "k"}
    submit(api, body)
    assert api.send("POST", V2, body).status_code == 200
    other = api.send("POST", V2, {**body, "generation_info_raw": f"{TEXT}, ENSD: 1"})
    assert other.json()["error"] == "idempotency_conflict"
