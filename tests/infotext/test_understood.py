"""What an infotext becomes as parameters, and what is said of the rest."""

import pytest

from jobs.infotext import parse
from jobs.infotext.params import KEPT, understand
from jobs.params import normalise

START = "a cat\nNegative prompt: no\nSteps: 4, Sampler: Euler"
BASE = {"steps": 4, "sampler_name": "Euler", "positive_prompt": "a cat", "negative_prompt": "no"}


def params(fields, **given):
    found = understand(parse(f"{START}, {fields}" if fields else START), given)
    assert {name: found.params.pop(name) for name in BASE} == BASE
    return found.params, list(found.warnings)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("", {}),
        ("Schedule type: Karras, CFG scale: 7.0", {"scheduler": "Karras", "cfg_scale": 7.0}),
        ("Distilled CFG Scale: 3.5, CFG scale: 1", {"distilled_cfg_scale": 3.5, "cfg_scale": 1}),
        (
            "Seed: 18446744073709551615, Size: 512x768",
            {"seed": 2**64 - 1, "width": 512, "height": 768},
        ),
        (
            "Variation seed: 0, Variation seed strength: 0.2",
            {"subseed": 0, "subseed_strength": 0.2},
        ),
        ("Clip skip: 2, Tiling: True", {"clip_skip": 2, "tiling": True}),
        ("Face restoration: CodeFormer", {"restore_faces": True}),
        ("Face restoration: None, VAE: Automatic", {"restore_faces": False}),
        ("VAE: ae.safetensors", {"vae": "ae.safetensors"}),
        ("Module 1: ae, Module 2: t5", {"additional_modules": ["ae", "t5"]}),
        ("Model: m", {"checkpoint_name": "m"}),
        ("Model hash: e1758bd15a", {"checkpoint_name": "e1758bd15a", "model_hash": "e1758bd15a"}),
        (
            "Model hash: E1758bd15a, Model: sub_m.v1",
            {"checkpoint_name": "sub_m.v1 [E1758bd15a]", "model_hash": "E1758bd15a"},
        ),
        (
            "Denoising strength: 0.5, Hires Module 1: Use same choices, Hires CFG Scale: 5,"
            " Hires upscale: 1.5, Hires steps: 3, Hires upscaler: Latent, Hires sampler: DDIM,"
            ' Hires schedule type: Simple, Hires checkpoint: x, Hires prompt: "a, b",'
            " Hires negative prompt: c, Hires Distilled CFG Scale: 3",
            {
                "enable_hr": True,
                "denoising_strength": 0.5,
                "hr_additional_modules": ["Use same choices"],
                "hr_cfg": 5,
                "hr_scale": 1.5,
                "hr_second_pass_steps": 3,
                "hr_upscaler": "Latent",
                "hr_sampler_name": "DDIM",
                "hr_scheduler": "Simple",
                "hr_checkpoint_name": "x",
                "hr_prompt": "a, b",
                "hr_negative_prompt": "c",
                "hr_distilled_cfg": 3,
            },
        ),
        (
            "Hires resize: 1024x0, Hires Module 1: Built-in",
            {
                "enable_hr": True,
                "hr_resize_x": 1024,
                "hr_resize_y": 0,
                "hr_additional_modules": [],
            },
        ),
        (
            "Refiner: r [0123456789], Refiner switch at: 0.8",
            {"refiner_checkpoint": "r [0123456789]", "refiner_switch_at": 0.8},
        ),
        ("Eta: 0.67, NGMS: 1", {"eta": 0.67, "s_min_uncond": 1}),
        ("cfg SCALE: 5", {"cfg_scale": 5}),
    ],
)
def test_fields_become_parameters(fields, expected):
    assert params(fields) == (expected, [])
    understood = understand(parse(f"{START}, {fields}" if fields else START), {})
    assert normalise({"seed": 1, **understood.params}, app_type="forge").warnings == []


def test_a_picture_made_from_another_says_that_it_is_missing():
    fields = (
        "Denoising strength: 0.5, Mask blur: 4, Masked content: Latent Noise, Masked area padding:"
        " 32, Inpaint area: Only masked, Mask mode: Inpaint not masked"
    )
    expected = {
        "denoising_strength": 0.5,
        "mask_blur": 4,
        "inpainting_fill": 2,
        "inpaint_full_res_padding": 32,
        "inpaint_full_res": True,
        "inpainting_mask_invert": 1,
    }
    found, warnings = params(fields)
    assert found == expected
    assert len(warnings) == 1
    assert "init_images" in warnings[0]
    assert params(fields, init_images=["x"]) == (expected, [])
    assert params(fields, enable_hr=True) == (expected, [])


@pytest.mark.parametrize(
    "fields",
    [
        "Version: f2.0.1, TI hashes: a, Batch size: 2, Batch pos: 1",
        'Hashes: {"model": "a"}, User: me, Style: x, Template: y',
    ],
)
def test_what_only_describes_is_kept_without_a_word(fields):
    found, warnings = params(fields)
    assert found == {KEPT: dict(parse(f"Steps: 1, {fields}").fields[1:])}
    assert warnings == []


def test_what_is_unknown_is_kept_in_order_and_named():
    found, warnings = params("RNG: CPU, Bare, ENSD: 31337, Version: 1")
    assert list(found[KEPT].items()) == [
        ("RNG", "CPU"),
        ("Bare", "Bare"),
        ("ENSD", "31337"),
        ("Version", "1"),
    ]
    assert warnings == [
        "Kept with the job, but without an effect on it (generation_info_raw): RNG, Bare, ENSD."
    ]


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("Seed: -2", "Seed of generation_info_raw is left out: it must be"),
        ("CFG scale: very", "CFG scale of generation_info_raw is left out: it must be a number"),
        ("Clip skip: 13", "from 0 to 12, but is 13"),
        ("Size: 63x65", "Size of generation_info_raw is left out"),
        ("Size: 512", "it must be like 512x768"),
        ("Refiner switch at: 2", "from 0 to 1"),
        ("Masked content: gold", "without an effect"),
    ],
)
def test_a_value_that_can_not_be_taken_is_kept_and_named(field, said):
    name, _, value = field.partition(": ")
    found, warnings = params(field)
    assert found == {KEPT: {name: value}}
    assert len(warnings) == 1
    assert said in warnings[0]


def test_a_size_is_rounded_as_the_servers_do():
    found, warnings = params("Size: 513x771")
    assert found == {"width": 512, "height": 768}
    assert warnings == ["Size 513x771 of generation_info_raw is taken as 512x768, in steps of 8."]


def test_a_controlnet_unit_is_named_because_its_picture_is_missing():
    unit = 'ControlNet 0: "Module: canny, Model: c_v11, Weight: 1.0"'
    found, warnings = params(unit)
    assert found == {KEPT: {"ControlNet 0": "Module: canny, Model: c_v11, Weight: 1.0"}}
    assert len(warnings) == 1
    assert "ControlNet (c_v11) is left out" in warnings[0]
    assert params(unit, alwayson_scripts={"controlnet": {"args": []}})[1] == []


def test_a_lora_without_a_tag_is_named():
    _, warnings = params('Lora hashes: "gone: 1f"')
    assert warnings == ["The LoRA gone is left out: no prompt names it, so its weight is unknown."]
    found = understand(parse("<lora:there:0.5>\nSteps: 1, Lora hashes: there: 1f"), {})
    assert found.warnings == ()


def test_a_field_that_comes_twice_is_named():
    found, warnings = params("Seed: 1, Seed: 2")
    assert found == {"seed": 2}
    assert warnings == ["Seed is in generation_info_raw more than once. The last one is used."]


def test_lost_line_breaks_are_noticed():
    found = understand(parse("a cat Negative prompt: no Steps: 4, Sampler: Euler, Seed: 1"), {})
    assert list(found.params) == ["positive_prompt"]
    assert "lost its line breaks" in found.warnings[0]


def test_text_behind_the_fields_is_kept():
    found = understand(parse("a\nSteps: 4, Seed: 1, Size: 64x64\nmade on Monday"), {})
    assert found.params[KEPT] == {"Text behind the fields": "made on Monday"}
    assert "the text behind the fields" in found.warnings[0]


def test_very_many_fields_are_cut_and_that_is_said():
    many = ", ".join(f"f{n}: x" for n in range(20_000))
    found, warnings = params(many)
    assert len(found[KEPT]) == 500
    assert len(warnings) == 2
    assert "and 19980 more" in warnings[0]
    assert "20000 unknown fields. The first 500 are kept" in warnings[1]
    bad = ", ".join(f"Module {n}: x, Size: {n}" for n in range(300))
    assert len(params(bad)[1]) < 25
