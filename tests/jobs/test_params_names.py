"""What a client may call a parameter, and what becomes of names that nobody knows."""

from typing import Any

import pytest

from jobs.params import Normalised, normalise
from mobilesd.errors import InvalidInput


def normalised(**raw: Any) -> Normalised:
    return normalise({"seed": 1, **raw}, app_type="forge")


@pytest.mark.parametrize(
    ("sent", "canonical", "value"),
    [
        ("prompt", "positive_prompt", "a fox"),
        ("sd_checkpoint", "checkpoint_name", "a.safetensors"),
        ("checkpoint", "checkpoint_name", "Pony\\b.safetensors [0123456789]"),
        ("sampler", "sampler_name", "Euler a"),
        ("sampler_index", "sampler_name", "DPM++ 2M Karras"),
        ("scheduler_or_quality_preset", "scheduler", "Karras"),
        ("batch_count", "n_iter", 3),
        ("num_images", "n_iter", 3),
        ("enable_hires_fix", "enable_hr", True),
        ("upscaler_model", "hr_upscaler", "Latent"),
        ("refiner_model", "refiner_checkpoint", "refiner.safetensors"),
    ],
)
def test_an_alias_becomes_its_canonical_name(sent: str, canonical: str, value: object) -> None:
    result = normalised(**{sent: value})
    assert result.params == {"seed": 1, canonical: value}
    assert result.warnings == []


def test_two_names_of_one_parameter_with_the_same_value_are_one() -> None:
    result = normalised(prompt="a fox", positive_prompt="a fox", batch_count=2, num_images="2")
    assert result.params == {"seed": 1, "positive_prompt": "a fox", "n_iter": 2}


def test_two_names_of_one_parameter_with_different_values_are_refused_naming_both() -> None:
    with pytest.raises(InvalidInput) as refused:
        normalised(prompt="a fox", positive_prompt="a hare")
    assert set(refused.value.fields) == {
        "generation_params.prompt",
        "generation_params.positive_prompt",
    }
    assert "prompt and positive_prompt are two names of one parameter" in refused.value.message
    assert "Send only positive_prompt." in refused.value.message


def test_names_of_one_checkpoint_differ_in_slash_and_hash_only() -> None:
    result = normalised(
        checkpoint_name="Pony/b.safetensors",
        sd_checkpoint="Pony\\b.safetensors [e1758bd15a]",
    )
    assert result.checkpoint == result.params["checkpoint_name"] == "Pony/b.safetensors"


def test_the_checkpoint_is_also_taken_from_the_override_settings() -> None:
    overrides = {"sd_model_checkpoint": "a.safetensors", "eta_noise_seed_delta": 7}
    result = normalised(prompt="a fox", override_settings=overrides)
    assert result.checkpoint == result.params["checkpoint_name"] == "a.safetensors"
    assert result.params["override_settings"] == overrides


def test_two_different_checkpoints_are_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        normalised(checkpoint="a", override_settings={"sd_model_checkpoint": "b"})
    assert "generation_params.override_settings.sd_model_checkpoint" in refused.value.fields


def test_two_different_clip_skips_are_refused() -> None:
    with pytest.raises(InvalidInput, match="Send only clip_skip"):
        normalised(clip_skip=2, override_settings={"CLIP_stop_at_last_layers": 1})
    assert normalised(clip_skip=2, override_settings={"CLIP_stop_at_last_layers": 2})


@pytest.mark.parametrize("name", ["karras", "Karras", "KARRAS"])
def test_a_quality_preset_that_names_a_scheduler_becomes_its_label(name: str) -> None:
    assert normalised(scheduler_or_quality_preset=name).params["scheduler"] == "Karras"


def test_a_quality_preset_that_names_no_scheduler_is_kept_as_unknown() -> None:
    result = normalised(scheduler_or_quality_preset="High quality", scheduler="Karras")
    assert result.params["scheduler_or_quality_preset"] == "High quality"
    assert result.params["scheduler"] == "Karras"
    [warning] = result.warnings
    assert warning.startswith("scheduler_or_quality_preset is not a parameter")


def test_a_scheduler_is_the_same_by_label_and_by_id() -> None:
    result = normalised(scheduler="sgm_uniform", scheduler_or_quality_preset="SGM Uniform")
    assert result.params["scheduler"] == "sgm_uniform"
    with pytest.raises(InvalidInput):
        normalised(scheduler="karras", scheduler_or_quality_preset="SGM Uniform")


def test_unknown_parameters_are_kept_as_they_are_and_reported() -> None:
    value = {"deep": [1, 1.0, None, {"x": "y"}]}
    result = normalised(prompt="a fox", my_extension=value, negativ_prompt="ugly")
    assert result.params["my_extension"] == value
    assert result.params["negativ_prompt"] == "ugly"
    first, second = result.warnings
    assert first.startswith("my_extension is not a parameter that MobileSD knows for forge jobs")
    assert second.endswith("Did you mean negative_prompt?")


def test_many_unknown_parameters_are_counted_rather_than_listed() -> None:
    result = normalised(**{f"zz{n}": n for n in range(100)})
    assert len(result.warnings) == 21
    assert result.warnings[-1] == "80 more unknown parameters are kept as well."


def test_null_means_absent() -> None:
    result = normalised(prompt="a fox", sampler_index=None, steps=None, my_extension=None)
    assert result.params == {"seed": 1, "positive_prompt": "a fox"}


@pytest.mark.parametrize("raw", [{}, {"prompt": None}])
def test_nothing_at_all_is_refused_as_missing(raw: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        normalise(raw, app_type="forge")
    assert refused.value.error == "missing_required_field"


@pytest.mark.parametrize("raw", [[], "prompt", 5, None])
def test_what_is_no_object_is_refused(raw: Any) -> None:
    with pytest.raises(InvalidInput, match="must be an object"):
        normalise(raw, app_type="forge")


def test_zero_and_empty_are_values() -> None:
    zeros = {"denoising_strength": 0, "subseed_strength": 0, "cfg_scale": 0, "seed": 0}
    empties = {"positive_prompt": "", "styles": [], "script_name": "", "tiling": False}
    assert normalised(**zeros, **empties).params == {**zeros, **empties}


def test_pictures_make_it_img2img() -> None:
    result = normalised(prompt="a fox", init_images=["aGVsbG8="])
    assert result.kind == "img2img"
    assert normalised(prompt="a fox").kind == "txt2img"


def test_counts_the_pictures_wanted() -> None:
    assert normalised(batch_size=2, n_iter=3).images_wanted == 6
    assert normalised(prompt="a fox").images_wanted == 1
