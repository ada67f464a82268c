"""An order that can't be taken names the field, says what is wrong, and writes nothing."""

import base64
import io

import pytest
from PIL import Image

from tests import factories

pytestmark = pytest.mark.django_db
V1, V2 = "/api/v1/generate", "/api/v2/generate"
GOOD = {"positive_prompt": "a lighthouse"}


def _data_url(content: bytes, mime: str = "image/png") -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def _hundred_megapixels() -> bytes:
    stream = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(stream, "PNG")
    return stream.getvalue()


BAD_PARAMS = [
    ("width", 0),
    ("width", 63),
    ("width", 513),
    ("width", "wide"),
    ("width", True),
    ("height", 10**9),
    ("steps", 0),
    ("steps", 10**9),
    ("seed", 2**64),
    ("seed", "abc"),
    ("cfg_scale", "high"),
    ("batch_size", 65),
    ("positive_prompt", "x" * 1024 * 1024),
    ("positive_prompt", {"not": "text"}),
    ("init_images.0", ["data:image/png;base64,bm8gcGljdHVyZQ=="]),
    ("init_images.0", [_data_url(b"GIF89a is no picture" + b"x" * 5000)]),
    ("init_images.0", [_data_url(_hundred_megapixels())]),
    ("init_images.0", [{"image_id": "00000000-0000-0000-0000-000000000000"}]),
    ("init_images.0", ["http://127.0.0.1/picture.png"]),
    ("loras", "not a list"),
]


@pytest.mark.parametrize(("path", "value"), BAD_PARAMS, ids=lambda v: str(v)[:30])
def test_a_bad_parameter_is_named(api, rows, path, value):
    before = rows()
    answer = api.send("POST", V2, {"generation_params": {**GOOD, path.partition(".")[0]: value}})
    assert answer.status_code in {400, 413}, answer.content
    body = answer.json()
    assert f"generation_params.{path}" in body["details"]["fields"]
    assert body["details"]["hint"]
    assert len(answer.content) < 5_000, "the value is not sent back"
    assert rows() == before


BAD_FIELDS = [
    ("generation_params", None, "missing_required_field"),
    ("generation_params", {}, "missing_required_field"),
    ("generation_params", [], "invalid_field_value"),
    ("generation_params", "a cat", "invalid_field_value"),
    ("target_server_alias", "nowhere", "invalid_field_value"),
    ("target_server_alias", 7, "invalid_field_value"),
    ("app_type", "paint", "invalid_field_value"),
    ("priority", 0, "invalid_field_value"),
    ("priority", 11, "invalid_field_value"),
    ("priority", "high", "invalid_field_value"),
    ("priority", True, "invalid_field_value"),
    ("priority", 1.5, "invalid_field_value"),
    ("lane", "fast", "invalid_field_value"),
    ("source_info", "x" * 201, "invalid_field_value"),
    ("source_info", {}, "invalid_field_value"),
    ("not_before", "tomorrow", "invalid_field_value"),
    ("not_before", "2099-01-01T00:00:00", "invalid_field_value"),
    ("not_before", "2099-13-01T00:00:00Z", "invalid_field_value"),
    ("deadline", "2001-01-01T00:00:00Z", "invalid_field_value"),
    ("idempotency_key", "x" * 201, "invalid_field_value"),
    ("idempotency_key", 5, "invalid_field_value"),
    ("depends_on", ["x"], "invalid_field_value"),
    ("depends_on", "x", "invalid_field_value"),
    ("depends_on", [{"on_failure": "run"}], "invalid_field_value"),
    (
        "depends_on",
        [{"job": "0b7f6d52-0d0e-4f57-9f5e-2a5f6c1f4f10", "on_failure": "x"}],
        "invalid_field_value",
    ),
    ("workflow", {"1": {}}, "unsupported_parameter"),
    ("template", "x", "unsupported_parameter"),
    ("inputs", {"prompt": "x"}, "unsupported_parameter"),
    ("generation_info_raw", 5, "invalid_field_value"),
    ("generation_info_raw", "x" * 262_145, "invalid_field_value"),
    ("generation_info_raw", " \n ", "missing_required_field"),
]


@pytest.mark.parametrize("path", [V1, V2])
@pytest.mark.parametrize(("name", "value", "error"), BAD_FIELDS, ids=lambda v: str(v)[:30])
def test_a_bad_field_is_named(api, rows, path, name, value, error):
    before = rows()
    answer = api.send("POST", path, {"generation_params": GOOD, name: value})
    assert answer.status_code == 400, answer.content
    body = answer.json()
    assert body["error"] == error
    assert name in {field.partition(".")[0] for field in body["details"]["fields"]}
    assert rows() == before


@pytest.mark.parametrize(
    ("name", "value", "warning"),
    [
        ("depends_on", [], None),
        ("workflow", {}, "workflow is empty and was ignored."),
        ("template", "", "template is empty and was ignored."),
        ("inputs", {}, "inputs is empty and was ignored."),
        ("base_seed", 5, "base_seed belongs to POST /api/v2/generate/bulk and was ignored."),
        ("variations", {}, "variations belongs to POST /api/v2/generate/bulk and was ignored."),
    ],
)
def test_what_means_nothing_here_is_warned_of_in_its_own_words(api, name, value, warning):
    answer = api.send("POST", V2, {"generation_params": GOOD, name: value})
    assert answer.status_code == 202
    assert answer.json()["warnings"] == ([warning] if warning else [])


def test_an_unknown_server_is_answered_with_those_that_exist(api):
    factories.server("gpu")
    factories.server("attic")
    answer = api.send("POST", V2, {"generation_params": GOOD, "target_server_alias": "gqu"})
    assert "attic, gpu" in answer.json()["details"]["hint"]


def test_an_app_type_that_the_named_server_has_not(api, settings, rows):
    settings.DISPATCHERS = {**settings.DISPATCHERS, "other": settings.DISPATCHERS["forge"]}
    factories.server("gpu")
    body = {"generation_params": GOOD, "target_server_alias": "gpu", "app_type": "other"}
    answer = api.send("POST", V2, body)
    assert answer.status_code == 400
    assert "target_server_alias" in answer.json()["details"]["fields"]
    assert rows()["Job"] == 0


def test_a_deadline_before_the_start_is_refused(api):
    times = {"not_before": "2099-01-02T00:00:00Z", "deadline": "2099-01-01T00:00:00Z"}
    answer = api.send("POST", V2, {"generation_params": GOOD, **times})
    assert "deadline" in answer.json()["details"]["fields"]


def test_all_bad_parameters_are_named_at_once(api):
    params = {**GOOD, "width": 0, "steps": 10**9, "sampler_name": 5}
    fields = api.send("POST", V2, {"generation_params": params}).json()["details"]["fields"]
    assert {"generation_params.width", "generation_params.steps"} <= set(fields)


def test_nobody_names_a_stored_input_directly(api, rows):
    mark = {"$input": "0" * 64, "mime": "image/png", "bytes": 1, "form": "base64"}
    answer = api.send("POST", V2, {"generation_params": {**GOOD, "init_images": [mark]}})
    assert answer.status_code == 400
    assert rows()["Job"] == 0


def test_a_picture_of_somebody_else_can_not_be_used(api, rows):
    image = factories.image(factories.job("completed", owner=factories.user()))
    reference = {"image_id": str(image.pk)}
    answer = api.send("POST", V2, {"generation_params": {**GOOD, "init_images": [reference]}})
    assert answer.status_code == 400
    assert rows()["Job"] == 1
