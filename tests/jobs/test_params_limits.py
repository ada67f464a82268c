"""Every value that can't be taken is refused by name, with what is wrong and what to do."""

import math
from typing import Any

import pytest

from jobs.params import normalise
from jobs.params.bounds import MAX_DEPTH, MAX_ITEMS, MAX_KEYS
from mobilesd.errors import InvalidInput


def refusal(**raw: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as refused:
        normalise(raw, app_type="forge")
    assert refused.value.status == 400
    assert refused.value.fields
    assert refused.value.hint
    return refused.value


def taken(**raw: Any) -> dict[str, Any]:
    return normalise(raw, app_type="forge").params


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("width", 0, "width must be a whole number from 64 to 8192, but is 0."),
        ("width", 8200, "width must be a whole number from 64 to 8192, but is 8200."),
        ("height", 500, "height must be a multiple of 8, but is 500. Use 496 or 504."),
        ("steps", 10**9, "steps must be a whole number from 1 to 500, but is 1000000000."),
        ("steps", 0, "steps must be a whole number from 1 to 500, but is 0."),
        ("steps", 2.5, "steps must be a whole number from 1 to 500, but is 2.5."),
        ("steps", "2.5", "steps must be a whole number from 1 to 500, but is 2.5."),
        ("steps", True, "steps must be a whole number from 1 to 500, but is true."),
        ("steps", "many", "steps must be a whole number from 1 to 500, but is “many”."),
        ("steps", "", "steps must be a whole number from 1 to 500, but is “”."),
        ("steps", [20], "steps must be a whole number from 1 to 500, but is a list."),
        ("steps", {"a": 1}, "steps must be a whole number from 1 to 500, but is an object."),
        ("seed", -2, "seed must be a whole number from -1 to 18446744073709551615, but is -2."),
        ("seed", 2**64, "generation_params.seed is larger than 2^64 − 1."),
        ("seed", 1.8e19, "seed must be a whole number from -1 to 18446744073709551615"),
        ("subseed", "x" * 90, f"but is “{'x' * 40}…”."),
        ("cfg_scale", -1, "cfg_scale must be a number from 0 to 100, but is -1."),
        ("cfg_scale", False, "cfg_scale must be a number from 0 to 100, but is false."),
        ("hr_cfg", 101, "hr_cfg must be a number from 0 to 100, but is 101."),
        ("denoising_strength", 1.01, "denoising_strength must be a number from 0 to 1"),
        ("subseed_strength", -0.1, "subseed_strength must be a number from 0 to 1"),
        ("refiner_switch_at", 2, "refiner_switch_at must be a number from 0 to 1, but is 2."),
        ("batch_size", 0, "batch_size must be a whole number from 1 to 64, but is 0."),
        ("n_iter", 65, "n_iter must be a whole number from 1 to 64, but is 65."),
        ("batch_count", 65, "batch_count must be a whole number from 1 to 64, but is 65."),
        ("n_iter", 0, "n_iter must be a whole number from 1 to 64, but is 0."),
        ("clip_skip", -1, "clip_skip must be a whole number from 0 to 12, but is -1."),
        ("clip_skip", 13, "clip_skip must be a whole number from 0 to 12, but is 13."),
        ("hr_resize_x", 8, "hr_resize_x must be 0, or a whole number from 64 to 8192, but is 8."),
        ("tiling", "yes", "tiling must be true or false, but is “yes”."),
        ("tiling", 2, "tiling must be true or false, but is 2."),
        ("prompt", 5, "prompt must be text, but is 5."),
        ("prompt", "x" * 1_000_000, "prompt may have 64 kB, but has 977 kB. Shorten it."),
        ("prompt", "ä" * 40_000, "prompt may have 64 kB, but has 79 kB. Shorten it."),
        ("sampler_name", ["Euler"], "sampler_name must be a name, but is a list."),
        ("checkpoint", "x" * 501, "checkpoint may have 500 characters, but has 501."),
        ("styles", "anime", "styles must be a list, but is “anime”."),
        ("styles", [1], "styles must be a name, but is 1."),
        ("alwayson_scripts", [], "alwayson_scripts must be an object, but is a list."),
        ("alwayson_scripts", {"x": []}, "but “x” is a list."),
        ("script_args", {}, "script_args must be a list, but is an object."),
        ("override_settings", "a", "override_settings must be an object, but is “a”."),
        ("override_settings", {"sd_model_checkpoint": 1}, "sd_model_checkpoint must be a name"),
        ("init_images", [], "init_images is empty. Add a picture, or leave it out for txt2img."),
        ("init_images", "aGVsbG8=", "init_images must be a list"),
        ("init_images", [None], "init_images must be a picture: base64"),
        ("init_images", ["a"] * 65, "init_images may have 64 pictures, but has 65."),
        ("mask", "aGVsbG8=", "mask needs a picture that it belongs to."),
        ("loras", [{"weight": 1}], "loras has a wrong entry 1: its name must be a name"),
        ("loras", [{"name": "a>b"}], "loras has a wrong entry 1: its name must be a name"),
        ("loras", [{"name": "a"}, {"name": "b", "weight": 11}], "wrong entry 2: its weight must"),
        ("loras", ["a"], 'loras must hold objects such as {"name": …}, but entry 1 is none.'),
    ],
)
def test_a_wrong_value_is_refused_in_a_sentence(name: str, value: Any, sentence: str) -> None:
    problem = refusal(**{name: value})
    assert sentence in problem.message
    assert any(field.startswith(f"generation_params.{name}") for field in problem.fields)


def test_clip_skip_0_is_a_value() -> None:
    assert taken(clip_skip=0)["clip_skip"] == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wrap", [lambda v: {"cfg_scale": v}, lambda v: {"x": {"y": [1, v]}}])
def test_numbers_that_are_not_finite_are_refused_at_any_depth(value: float, wrap: Any) -> None:
    assert "must be a finite number, not NaN or Infinity" in refusal(**wrap(value)).message


@pytest.mark.parametrize(
    ("value", "sentence"),
    [("a\0b", "holds a NUL character"), ("a\ud800b", "lone surrogate")],
)
@pytest.mark.parametrize(
    "wrap", [lambda v: {"prompt": v}, lambda v: {"x": [{"y": v}]}, lambda v: {"x": {v: 1}}]
)
def test_text_that_no_database_can_hold_is_refused_at_any_depth(
    value: str, sentence: str, wrap: Any
) -> None:
    problem = refusal(**wrap(value))
    assert sentence in problem.message or "characters that can't be stored" in problem.message
    problem.message.encode()
    assert "\0" not in problem.message + "".join(problem.fields)


def test_all_wrong_values_are_named_at_once() -> None:
    problem = refusal(width=1, steps=0, cfg_scale="x", tiling=5, prompt=1)
    assert len(problem.fields) == 5
    assert "2 more values can't be taken." in problem.message


@pytest.mark.parametrize(
    ("sent", "value"),
    [("2", 2), (20.0, 20), (2, 2)],
)
def test_whole_numbers_are_taken_in_every_unambiguous_form(sent: Any, value: int) -> None:
    steps = taken(steps=sent)["steps"]
    assert steps == value
    assert type(steps) is int


@pytest.mark.parametrize("value", [7, 6.5, 1.0, "7.5", "7"])
def test_numbers_keep_their_kind(value: Any) -> None:
    cfg = taken(cfg_scale=value)["cfg_scale"]
    assert str(cfg) == str(value)


@pytest.mark.parametrize(("sent", "value"), [(1, True), (0, False), ("true", True), (True, True)])
def test_flags_are_taken_as_numbers_and_words(sent: Any, value: bool) -> None:
    assert taken(inpaint_full_res=sent)["inpaint_full_res"] is value


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"batch_size": 8, "n_iter": 9}, "batch_size"),
        ({"width": 8192, "height": 8192}, "width"),
        ({"enable_hr": True, "width": 2048, "height": 2048, "hr_scale": 4}, "hr_scale"),
        ({"enable_hr": True, "hr_resize_x": 8192, "hr_resize_y": 8192}, "hr_resize_x"),
        ({"enable_hr": True, "height": 1024, "hr_resize_x": 8192}, "hr_resize_x"),
        ({"enable_hr": True, "hr_scale": 0}, "hr_scale"),
    ],
)
def test_values_that_are_too_much_together_are_refused(raw: dict[str, Any], field: str) -> None:
    assert f"generation_params.{field}" in refusal(**raw).fields


def test_what_is_just_within_the_limits_is_taken() -> None:
    taken(width=8192, height=7808, steps=500, batch_size=8, n_iter=8, seed=2**64 - 1)
    taken(prompt="x" * 65_536, cfg_scale=100, hr_scale=4, enable_hr=False, width=2048, height=2048)


def test_hires_fix_has_no_effect_in_img2img_and_says_so() -> None:
    result = normalise(
        {"init_images": ["aGVsbG8="], "enable_hr": True, "hr_scale": 0}, app_type="forge"
    )
    assert result.warnings == ["enable_hr works in txt2img only. It has no effect in this job."]


def test_json_that_is_too_deep_is_refused() -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    taken(x=deep)
    assert "levels deep" in refusal(x=[deep]).message
    for _ in range(100_000):
        deep = [deep]
    assert "levels deep" in refusal(x=deep).message


def test_json_with_too_many_names_or_entries_is_refused() -> None:
    assert "names in all" in refusal(x={str(n): n for n in range(MAX_KEYS)}).message
    assert "entries in all" in refusal(x=[[0] * (MAX_ITEMS // 2)] * 2).message
    taken(x={str(n): n for n in range(MAX_KEYS - 1)})


def test_a_drawn_seed_is_a_number_that_the_engines_could_have_drawn() -> None:
    for raw in ({"prompt": "a"}, {"seed": -1}, {"seed": None, "prompt": "a"}, {"seed": "-1"}):
        seeds = {taken(**raw)["seed"] for _ in range(5)}
        assert len(seeds) == 5
        assert all(0 <= seed < 2**32 for seed in seeds)


def test_a_subseed_is_drawn_only_if_it_has_strength() -> None:
    assert "subseed" not in taken(prompt="a")
    assert taken(subseed=-1, subseed_strength=0)["subseed"] == -1
    assert taken(subseed_strength=0.5)["subseed"] >= 0
    assert taken(subseed=-1, subseed_strength=0.5)["subseed"] >= 0
    assert taken(subseed=7, subseed_strength=0.5)["subseed"] == 7
