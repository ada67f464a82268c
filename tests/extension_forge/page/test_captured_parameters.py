"""What a real Forge's page held, as parameters of MobileSD that make the same picture."""

from types import SimpleNamespace
from typing import Any

import pytest
from mobilesd_forge.capture import Surroundings, generation_params, not_applied
from mobilesd_forge.payload import MAX_BYTES, CannotQueue

from dispatch.dispatchers.base import Order
from dispatch.dispatchers.forge import payload
from jobs.params import normalise
from tests.extension_forge.page.likenesses import NO_STYLES, Scripts, processing, recorded

CAPTURE = recorded("captured-txt2img.json")["payload"]
SCRIPTS = CAPTURE["alwayson_scripts"]
FIELDS = [name for name in CAPTURE if name != "alwayson_scripts"]
ENABLED = recorded("captured-controlnet-enabled.json")["args"]

OPTIONS = {
    "sd_model_checkpoint": "Pony/random_b.safetensors [e1758bd15a]",
    "forge_additional_modules": ["C:\\forge\\VAE\\soft.safetensors", "/srv/te/t5xxl.safetensors"],
    "CLIP_stop_at_last_layers": 2,
    "forge_unet_storage_dtype": "Automatic",
    "face_restoration": True,
    "tiling": False,
}


def option(**changed: Any) -> Surroundings:
    return Surroundings(option={**OPTIONS, **changed}.get)


def page(**changed: list[Any]) -> Scripts:
    """Return the recorded page's scripts, all at their defaults except those in `changed`."""
    runner = Scripts()
    for title, script in SCRIPTS.items():
        runner.add(title, changed.get(title, script["args"]), script["args"])
    return runner


def captured(runner: Scripts, around: Surroundings = NO_STYLES, **changed: Any) -> dict[str, Any]:
    values = {name: CAPTURE[name] for name in FIELDS} | changed
    p = processing(runner, **values)
    return generation_params(p, runner, [*values, "lacking"], around, skip=["StableQueue"])


def test_mobilesd_knows_every_captured_field() -> None:
    params = captured(page(), option())
    taken = normalise(params, app_type="forge")
    assert taken.warnings == []
    assert taken.params == params


def test_the_recorded_page_reaches_a_server_as_it_was() -> None:
    params = captured(page(), option(), enable_hr=True)
    request = payload.build(Order("txt2img", params, params["checkpoint_name"]), None)
    same = [name for name in FIELDS if name not in ("override_settings", "comments")]
    same = [name for name in same if not name.startswith("do_not_save_")]
    assert {name: request.body[name] for name in same} == {
        **{name: CAPTURE[name] for name in same},
        "enable_hr": True,
    }
    assert request.body["override_settings"] == {
        "sd_model_checkpoint": "Pony/random_b.safetensors [e1758bd15a]",
        "forge_additional_modules": ["soft.safetensors", "t5xxl.safetensors"],
        "CLIP_stop_at_last_layers": 2,
    }
    assert request.warnings == []


def test_what_stands_in_fields_and_what_is_at_its_default_is_left_out() -> None:
    params = captured(page(Sampler=[3, "Euler", "Karras"], Seed=[7, True, 8, 0.5, 0, 0]))
    assert "alwayson_scripts" not in params
    assert "script_name" not in params
    assert None not in params.values()


def test_a_script_with_other_than_its_defaults_is_sent_whole() -> None:
    freeu = "FreeU Integrated (SD 1.x, SD 2.x, SDXL)"
    args = [True, *SCRIPTS[freeu]["args"][1:]]
    assert captured(page(**{freeu: args}))["alwayson_scripts"] == {freeu: {"args": args}}


def test_a_script_whose_defaults_are_unknown_is_sent() -> None:
    runner = Scripts()
    runner.add("Older", [1, None, 0.5])
    runner.add("Shorter", [1, 2], [1])
    runner.add("Without inputs", [], [])
    assert captured(runner)["alwayson_scripts"] == {
        "Older": {"args": [1, None, 0.5]},
        "Shorter": {"args": [1, 2]},
    }


def test_a_selected_script_goes_along_with_its_arguments() -> None:
    runner = page()
    runner.add("First", ["a"], always=False)
    runner.add("X/Y/Z plot", [3, "7-9", None], always=False)
    runner.args[0] = 2
    params = captured(runner)
    assert params["script_name"] == "X/Y/Z plot"
    assert params["script_args"] == [3, "7-9", None]
    assert normalise(params, app_type="forge").warnings == []


def test_an_unreadable_setting_names_its_script() -> None:
    runner = Scripts()
    runner.add("Stamp", [1, b"\x89PNG"])
    with pytest.raises(CannotQueue, match=r"^Stamp, setting 2 holds a value of the kind bytes"):
        captured(runner)


def test_styles_are_written_into_the_prompts_that_are_not_empty() -> None:
    around = Surroundings(
        option=lambda name: None,
        with_styles=lambda prompt, styles: f"{prompt}, {'+'.join(styles)}",
        with_negative_styles=lambda prompt, styles: f"{prompt}, not {'+'.join(styles)}",
    )
    params = captured(page(), around, styles=["film", "fog"], hr_negative_prompt="haze")
    assert params["positive_prompt"] == "a red fox <lora:random_lora:0.5>, film+fog"
    assert params["negative_prompt"] == "ugly, not film+fog"
    assert params["hr_prompt"] == ""  # means the first prompt, whose styles are in it
    assert params["hr_negative_prompt"] == "haze, not film+fog"
    assert params["styles"] == []
    assert captured(page(), styles=["film"])["styles"] == ["film"]  # a Forge without the function


def test_what_forge_would_take_from_its_options_is_in_the_job() -> None:
    params = captured(page(), option(), restore_faces=None, tiling=None)
    assert params["checkpoint_name"] == "Pony/random_b.safetensors [e1758bd15a]"
    assert params["additional_modules"] == ["soft.safetensors", "t5xxl.safetensors"]
    assert params["clip_skip"] == 2
    assert (params["restore_faces"], params["tiling"]) == (True, False)
    assert "override_settings" not in params
    assert captured(page(), option(), tiling=True)["tiling"] is True


def test_no_chosen_modules_are_said_so_that_the_servers_own_do_not_count() -> None:
    params = captured(page(), option(forge_additional_modules=[]))
    assert "additional_modules" not in params
    assert params["override_settings"] == {"forge_additional_modules": []}
    request = payload.build(Order("txt2img", params, params["checkpoint_name"]), None)
    assert request.body["override_settings"]["forge_additional_modules"] == []


def test_overrides_of_the_page_win_over_the_options() -> None:
    overrides = {
        "sd_model_checkpoint": "other.safetensors",
        "CLIP_stop_at_last_layers": 3,
        "eta_noise_seed_delta": 31337,
    }
    params = captured(page(), option(), override_settings=overrides)
    assert params["checkpoint_name"] == "other.safetensors"
    assert params["clip_skip"] == 3
    assert params["override_settings"] == {"eta_noise_seed_delta": 31337}
    assert len(overrides) == 3  # Forge's own object is left alone


def test_what_mobilesd_does_not_apply_is_named_and_the_rest_is_not() -> None:
    overrides = {
        "sd_model_checkpoint": "other.safetensors",
        "CLIP_stop_at_last_layers": 3,
        "forge_additional_modules": [],
        "s_churn": 1,
        "randn_source": "CPU",
    }
    params = captured(page(), option(), override_settings=overrides)
    assert not_applied(params) == ["randn_source", "s_churn"]
    # As MobileSD's own dispatcher sees it.
    request = payload.build(Order("txt2img", params, params["checkpoint_name"]), None)
    assert not {"randn_source", "s_churn"} & set(request.body["override_settings"])
    del overrides["s_churn"], overrides["randn_source"]
    assert not_applied(captured(page(), option(), override_settings=overrides)) == []
    assert not_applied(captured(page(), option())) == []


def test_low_bits_are_named_when_they_are_not_forges_own_choice() -> None:
    params = captured(page(), option(forge_unet_storage_dtype="bnb-nf4"))
    assert params["override_settings"] == {"forge_unet_storage_dtype": "bnb-nf4"}
    assert not_applied(params) == ["forge_unet_storage_dtype"]


def test_an_enabled_controlnet_unit_is_captured_and_the_idle_ones_stay_defaults() -> None:
    def units(values: list[dict[str, Any]]) -> list[Any]:
        return [SimpleNamespace(**unit) for unit in values]

    runner = Scripts()
    runner.add("ControlNet", units(ENABLED), units(SCRIPTS["ControlNet"]["args"]))
    sent = captured(runner)["alwayson_scripts"]["ControlNet"]["args"]
    assert [unit["enabled"] for unit in sent] == [True, False, False]
    assert sent[0]["resize_mode"] == "Crop and Resize"
    assert not {"image_fg", "mask_image_fg", "generated_image", "batch_image_dir"} & set(sent[0])
    idle = Scripts()
    defaults = units(SCRIPTS["ControlNet"]["args"])
    idle.add("ControlNet", defaults, units(SCRIPTS["ControlNet"]["args"]))
    assert "alwayson_scripts" not in captured(idle)


def test_pictures_that_are_too_much_for_one_request_are_refused() -> None:
    runner = Scripts()
    runner.add("Wall", ["x" * (MAX_BYTES // 2), "y" * (MAX_BYTES // 2)])
    with pytest.raises(CannotQueue, match="MobileSD takes 64 MB"):
        captured(runner)
