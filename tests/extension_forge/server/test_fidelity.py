"""What the extension captures on Forge's page reaches a Forge as Generate would have used it.

The whole way: REST, the queue, files of inputs, a real lane, and the engine's log of what came in.
Every difference is one of `DIFFERS`, with its reason; anything else fails.
"""

import base64
import copy
import io
import json
import random
from typing import Any

import pytest
from PIL import Image as Picture

from dispatch.fakes.forge import Checkpoint, FakeForge, Lora
from dispatch.models import Server
from gallery.models import Image
from jobs import inputs
from jobs.models import Job
from tests import factories
from tests.api.conftest import Api
from tests.dispatch.forge.helpers import recording
from tests.dispatch.lane_harness import connected, lane, until_final

pytestmark = pytest.mark.django_db(transaction=True)

SOURCE = "forge-extension/1.0.0 f3a9c1"
CHECKPOINT = "random_a.safetensors"
# What may reach the engine otherwise than it was captured, and why.
DIFFERS = {
    "force_task_id": "each attempt has its own, by which it is found and cancelled",
    "override_settings_restore_afterwards": "else the next job would get this one's model",
    # Names only: the page's top bar has them with a hash, which changes at the first load.
    "override_settings.sd_model_checkpoint": "in the spelling of the server that makes it",
}


def picture(seed: int, mode: str = "RGB") -> str:
    """Return a PNG of some kB as the extension sends it."""
    stream = io.BytesIO()
    bands = len(mode)
    noise = random.Random(seed).randbytes(64 * 128 * bands)
    Picture.frombytes(mode, (64, 128), noise).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def captured(**changes: Any) -> dict[str, Any]:
    """Return the recorded page as the extension sends it, with what the top bar says."""
    payload = copy.deepcopy(recording("extension/captured-txt2img")["payload"])
    for own in ("StableQueue", "Sampler", "Seed"):  # the extension leaves these out
        del payload["alwayson_scripts"][own]
    payload["override_settings"] = {
        "sd_model_checkpoint": f"{CHECKPOINT} [e1758bd15a]",
        "CLIP_stop_at_last_layers": 2,
        "forge_additional_modules": [],
    }
    return {**payload, **changes}


def with_controlnet(**changes: Any) -> dict[str, Any]:
    """Return it with a ControlNet unit that has a picture and a mask, as the extension sends it."""
    payload = captured(**changes)
    units = copy.deepcopy(recording("extension/captured-controlnet-enabled")["args"])
    units[0] |= {"image": picture(1), "mask_image": picture(2), "module": "canny"}
    payload["alwayson_scripts"]["ControlNet"] = {"args": units}
    return payload


HIRES = {
    "enable_hr": True,
    "hr_scale": 1.5,
    "hr_upscaler": "Latent (nearest-exact)",
    "hr_second_pass_steps": 2,
    "hr_resize_x": 0,
    "hr_resize_y": 0,
    "hr_prompt": "a red fox, sharp <lora:random_lora:0.3>",
    "hr_negative_prompt": "blurry",
    "hr_cfg": 5.5,
    "hr_distilled_cfg": 3.0,
    "hr_additional_modules": ["Use same choices"],
    "hr_checkpoint_name": "Use same checkpoint",
    "hr_sampler_name": "DPM++ 2M",
    "hr_scheduler": "Karras",
    "firstphase_width": 0,
    "firstphase_height": 0,
    "denoising_strength": 0.45,
}
OFTEN_FORGOTTEN = {
    "styles": ["Kamph_Default_Negative (NO)"],
    "subseed": 77,
    "subseed_strength": 0.25,
    "seed_resize_from_h": 96,
    "seed_resize_from_w": 64,
    "distilled_cfg_scale": 4.5,
    "restore_faces": True,
    "tiling": True,
    "eta": 0.31,
    "s_churn": 0.1,
    "s_noise": 1.0,
    "s_min_uncond": 0.5,
    "s_tmin": 0.0,
    "s_tmax": 9.5,
    "disable_extra_networks": False,
    "comments": {"a": "b", "deep": [1, None]},
    "refiner_checkpoint": "",
    "refiner_switch_at": 0.8,
    "do_not_save_grid": True,
    "do_not_save_samples": True,
    "batch_size": 2,
    "n_iter": 2,
    "scheduler": "SGM Uniform",
}
SELECTABLE = {"script_name": "Prompt Matrix", "script_args": [False, True, "positive", "comma", 0]}

IMG2IMG = {
    "init_images": [picture(3)],
    "resize_mode": 2,
    "denoising_strength": 0.6,
    "initial_noise_multiplier": 1.05,
    "image_cfg_scale": 1.5,
    "include_init_images": False,
}
INPAINT = {
    **IMG2IMG,
    "mask": picture(4, "L"),
    "mask_blur": 6,
    "mask_blur_x": 6,
    "mask_blur_y": 6,
    "mask_round": False,
    "inpainting_fill": 0,
    "inpaint_full_res": False,
    "inpaint_full_res_padding": 48,
    "inpainting_mask_invert": 1,
}
_HIRES_NAMES = ("enable_hr", "hr_", "firstphase_")


def img2img(**fields: Any) -> dict[str, Any]:
    """Return the recorded page as the tab img2img has it: without what only txt2img knows."""
    payload = {
        name: value for name, value in captured().items() if not name.startswith(_HIRES_NAMES)
    }
    return {**payload, **fields}


CASES = {
    "as recorded": captured(),
    "ControlNet with pictures": with_controlnet(),
    "hires fix": captured(**HIRES),
    "hires fix and ControlNet": with_controlnet(**HIRES),
    "what is often forgotten": captured(**OFTEN_FORGOTTEN),
    "a selectable script": captured(**SELECTABLE),
    "img2img": img2img(**IMG2IMG),
    "sketch": img2img(**{**IMG2IMG, "init_images": [picture(5, "RGBA")]}),
    "inpaint": img2img(**INPAINT),
    "inpaint, whole picture, original": img2img(
        **{**INPAINT, "inpainting_fill": 1, "inpaint_full_res": True, "inpainting_mask_invert": 0}
    ),
    "inpaint sketch": img2img(
        **{**INPAINT, "init_images": [picture(6, "RGBA")], "mask": picture(7, "RGBA")}
    ),
    "inpaint upload, latent noise": img2img(
        **{**INPAINT, "inpainting_fill": 2, "resize_mode": 3, "mask_blur": 0}
    ),
    "a data: URL": img2img(**{**IMG2IMG, "init_images": [f"data:image/png;base64,{picture(8)}"]}),
}


def made(sent: dict[str, Any], **fake: Any) -> tuple[dict[str, Any], list[str], Job]:
    """Let a captured page be made by a lane; return what reached the engine, and the warnings."""
    api = Api(factories.key(factories.user())[1])
    Server.objects.all().delete()
    Job.objects.all().delete()
    with FakeForge(
        seconds=0.05,
        loras=[Lora("styles/random_lora.safetensors")],
        checkpoints=[Checkpoint(CHECKPOINT, "e1758bd15a" + "0" * 54, hashed=True)],
        **fake,
    ) as forge:
        server = connected(forge)
        body = {"generation_params": sent, "source_info": SOURCE}
        answer = api.send("POST", "/api/v2/generate", body)
        assert answer.status_code == 202, answer.content
        with lane(server):
            (job,) = until_final(list(Job.objects.all()))
        (run,) = forge.log.runs()
        arrived = _with_pictures(run.payload, forge.log.raw)
    assert (job.status, job.error_message) == ("completed", "")
    assert job.source_info == SOURCE
    warnings = list(dict.fromkeys([*answer.json()["warnings"], *job.warnings]))
    return arrived, warnings, job


def _with_pictures(value: Any, raw: Any) -> Any:
    """Put back the texts for which the engine's log has hashes."""
    if isinstance(value, dict):
        return {key: _with_pictures(inner, raw) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_pictures(inner, raw) for inner in value]
    return raw(value) if isinstance(value, str) and value.startswith("sha256:") else value


def differences(sent: Any, arrived: Any, path: str = "") -> list[str]:
    """Return where two payloads differ; 1, 1.0 and true are three different values."""
    if isinstance(sent, dict) and isinstance(arrived, dict):
        found: list[str] = []
        for name in {**sent, **arrived}:
            inner = f"{path}.{name}" if path else name
            if (name in sent) != (name in arrived):
                found.append(inner)
            else:
                found += differences(sent[name], arrived[name], inner)
        return found
    return [] if json.dumps(sent) == json.dumps(arrived) else [path]


@pytest.mark.parametrize("case", CASES)
def test_what_was_captured_is_what_the_engine_gets(case: str) -> None:
    sent = CASES[case]
    arrived, warnings, _ = made(sent)
    found = set(differences(sent, arrived))
    assert found <= set(DIFFERS), found - set(DIFFERS)
    assert warnings == []
    overrides = arrived["override_settings"]
    assert overrides["sd_model_checkpoint"] == CHECKPOINT
    assert arrived["override_settings_restore_afterwards"] is True


@pytest.mark.parametrize("case", CASES)
def test_the_job_keeps_all_of_it(case: str) -> None:
    """What the list shows, what a retry makes, and what an export holds."""
    sent = CASES[case]
    api = Api(factories.key(factories.user())[1])
    answer = api.send("POST", "/api/v2/generate", {"generation_params": sent})
    job = Job.objects.get(pk=answer.json()["mobilesd_job_id"])
    kept = inputs.restore(job.generation_params)
    kept["prompt"] = kept.pop("positive_prompt")
    kept.pop("checkpoint_name")  # the same as in override_settings, where lists look for it
    if "refiner_checkpoint" in kept:
        assert kept["refiner_checkpoint"] == sent["refiner_checkpoint"]
    assert differences(sent, kept) == []


def test_numbers_and_pictures_survive_to_the_bit() -> None:
    sent = with_controlnet()
    arrived, _, job = made(sent)
    unit = arrived["alwayson_scripts"]["ControlNet"]["args"][0]
    assert unit["image"] == picture(1)
    assert unit["mask_image"] == picture(2)
    assert job.inputs.count() == 2, "kept as files, not in the row"
    assert (unit["weight"], type(unit["weight"])) == (1, int)
    assert Image.objects.get().seed == "4242"


def test_the_same_capture_makes_the_same_picture_twice() -> None:
    hashes = []
    for sent in (captured(), captured(), captured(seed=7)):
        hashes.append(made(sent)[2].images.get().sha256)
    assert hashes[0] == hashes[1] != hashes[2]


def test_what_is_not_sent_is_warned_of_at_once() -> None:
    sent = captured()
    sent["override_settings"]["eta_noise_seed_delta"] = 31337
    arrived, warnings, _ = made(sent)
    assert "eta_noise_seed_delta" not in arrived["override_settings"]
    assert warnings == [
        "override_settings.eta_noise_seed_delta was left out: it would stay set for later jobs."
    ]


def test_names_of_the_second_pass_are_brought_to_the_servers_spelling() -> None:
    """What a Forge does not know, it replaces without a word."""
    sent = captured(**{**HIRES, "hr_sampler_name": "euler A", "hr_scheduler": "sgm_uniform"})
    arrived, _, _ = made(sent)
    assert (arrived["hr_sampler_name"], arrived["hr_scheduler"]) == ("Euler a", "SGM Uniform")


def test_modules_of_the_second_pass_that_the_server_lacks_are_warned_of() -> None:
    sent = captured(**{**HIRES, "hr_additional_modules": ["no_such_vae.safetensors"]})
    _, warnings, _ = made(sent)
    assert warnings == [
        "The server does not have the VAE or text encoder no_such_vae.safetensors: it is left out."
    ]


def test_fields_of_forks_are_passed_on_and_named() -> None:
    arrived, warnings, _ = made(captured(some_forks_field={"x": [0, 0.0, False, "", {}, None]}))
    assert json.dumps(arrived["some_forks_field"]) == '{"x": [0, 0.0, false, "", {}, null]}'
    assert len(warnings) == 1
    assert warnings[0].startswith("some_forks_field is not a parameter that MobileSD knows")


def test_styles_and_control_models_that_the_server_lacks_are_warned_of() -> None:
    sent = with_controlnet(styles=["Kamph_Default_Negative (NO)", "my own style", "None"])
    units = sent["alwayson_scripts"]["ControlNet"]["args"]
    units[0]["model"] = "control_v11p_sd15_canny [d14c016b]"
    units[1]["model"] = "not switched on"
    arrived, warnings, _ = made(sent)
    assert arrived["styles"] == sent["styles"]
    assert warnings == [
        "The server does not have the style my own style: it is left out.",
        "The server does not have the ControlNet model control_v11p_sd15_canny [d14c016b]:"
        " the unit does nothing.",
    ]
