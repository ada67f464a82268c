"""What came in can go out again, field by field as it was."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.fakes.forge.schema import IMG2IMG, TXT2IMG
from jobs.params import normalise
from jobs.params.fields import BY_NAME
from jobs.params.known import PASSED_THROUGH, scheduler_label
from mobilesd.errors import InvalidInput

RECORDINGS = Path(__file__).parent.parent / "recordings" / "forge"
ENGINE_NAMES = {"positive_prompt": "prompt"}


def captured() -> dict[str, Any]:
    recording = json.loads((RECORDINGS / "extension" / "captured-txt2img.json").read_text())
    payload: dict[str, Any] = recording["payload"]
    return payload


def with_controlnet() -> dict[str, Any]:
    recording = json.loads(
        (RECORDINGS / "extension" / "captured-controlnet-enabled.json").read_text()
    )
    return {**captured(), "alwayson_scripts": {"ControlNet": {"args": recording["args"]}}}


@pytest.mark.parametrize("payload", [captured(), with_controlnet()])
def test_a_payload_captured_from_an_engines_page_stays_as_it_was(payload: dict[str, Any]) -> None:
    result = normalise(payload, app_type="forge")
    back = {ENGINE_NAMES.get(name, name): value for name, value in result.params.items()}
    # As text, because 1 == 1.0 == True in Python but not at a backend.
    assert json.dumps(back, sort_keys=True) == json.dumps(payload, sort_keys=True)
    assert result.warnings == []


def test_only_the_drawn_seed_differs_in_a_captured_payload_without_one() -> None:
    payload = captured() | {"seed": -1, "refiner_checkpoint": None}
    params = normalise(payload, app_type="forge").params
    assert params.pop("seed") >= 0
    assert set(payload) - set(params) == {"seed", "prompt", "refiner_checkpoint"}


@pytest.mark.parametrize("request_fields", [TXT2IMG, IMG2IMG])
def test_no_field_of_the_engines_own_requests_is_called_unknown(request_fields: Any) -> None:
    names = {field.name for field in request_fields}
    assert len(names) > 50
    assert names <= PASSED_THROUGH | set(BY_NAME)


def test_the_recorded_schedulers_are_known_by_label_and_id() -> None:
    recording = json.loads((RECORDINGS / "discovery" / "schedulers.json").read_text())
    for scheduler in recording["response"]["json"]:
        assert scheduler_label(scheduler["label"]) == scheduler["label"]
        assert scheduler_label(scheduler["name"]) == scheduler["label"]


texts = st.text(max_size=12)
numbers = st.integers() | st.floats()
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from([*BY_NAME, "scheduler_or_quality_preset", "eta", "unknown"]) | texts
plausible = (
    st.integers(-1, 600)
    | st.sampled_from(["Euler", "Karras", "5", "7.5", 512, 768, 0.5, 1.0, True, [], {}, ""])
    | st.lists(st.just("aGVsbG8="), max_size=2)
    | st.just({"sd_model_checkpoint": "a"})
    | st.just([{"name": "detail", "weight": "0.5"}])
)


@given(st.dictionaries(names, anything | plausible, max_size=8))
def test_any_json_is_taken_or_refused_as_invalid_input(raw: dict[str, Any]) -> None:
    try:
        once = normalise(raw, app_type="forge")
    except InvalidInput as refused:
        assert refused.message
        assert refused.fields
        json.dumps([refused.message, dict(refused.fields)]).encode()
        return
    json.dumps(once.params, allow_nan=False)
    assert {k for k, v in raw.items() if v is not None and k not in BY_NAME} <= {
        *once.params,
        "scheduler_or_quality_preset",
    }
    again = normalise(once.params, app_type="forge")
    assert json.dumps(again.params) == json.dumps(once.params)
    assert (again.kind, again.checkpoint, again.images_wanted) == (
        once.kind,
        once.checkpoint,
        once.images_wanted,
    )


@given(st.dictionaries(names, plausible, min_size=1, max_size=10))
def test_what_is_taken_once_is_taken_again_unchanged(raw: dict[str, Any]) -> None:
    try:
        once = normalise(raw, app_type="forge")
    except InvalidInput:
        return
    assert normalise(once.params, app_type="forge").params == once.params
