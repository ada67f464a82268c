"""The shape of generation_params; names and limits are those of jobs.params.fields."""

from typing import Any

from jobs.params.fields import FIELDS
from jobs.params.readers import KINDS
from mobilesd.schema.shapes import (
    Shape,
    anything,
    listed,
    mapping,
    nullable,
    number,
    obj,
    ref,
    text,
    uuid,
    whole,
    word,
)

__all__ = ["COMPONENTS", "EXAMPLE_PARAMS"]

EXAMPLE_PARAMS: dict[str, Any] = {
    "positive_prompt": "a lighthouse at dusk, oil painting",
    "negative_prompt": "blurry",
    "width": 768,
    "height": 512,
    "steps": 20,
    "cfg_scale": 7,
    "sampler_name": "Euler a",
    "seed": 42,
}


def _numeral(shape: Shape) -> Shape:
    """Say that a number may also come as a text, as old clients send it."""
    bounds = {name: value for name, value in shape.items() if name != "description"}
    also = {"type": "string", "pattern": r"^-?[0-9]{1,20}(\.[0-9]{1,20})?$"}
    return {"description": shape.get("description", ""), "anyOf": [bounds, also]}


def _whole(description: str, low: int, high: int, **rules: Any) -> Shape:
    return _numeral(whole(description, low, high, **rules))


def _number(description: str, low: float, high: float) -> Shape:
    return _numeral(number(description, low, high))


def _size(description: str) -> Shape:
    return _whole(f"{description}, in steps of 8.", 64, 8192, multipleOf=8)


def _size_or_0(description: str) -> Shape:
    shape = _size(description)
    shape["anyOf"].append({"const": 0})
    return shape


def _flag(description: str) -> Shape:
    # Also as the numbers and words that forms send.
    values = [True, False, 0, 1, "true", "false"]
    return {"description": description, "enum": values}


def _name(description: str) -> Shape:
    return text(description, maxLength=500)


def _names(description: str) -> Shape:
    return listed(text(maxLength=500), description)


_SEED_HIGH = 2**64 - 1
_PROPERTIES: dict[str, Shape] = {
    "kind": word(
        KINDS,
        "What is done. Only `upscale` has to be said: it makes the one picture of `init_images`"
        " larger with `upscaler`, by `upscale_by`, and needs nothing else.",
    ),
    "positive_prompt": text("What should be in the picture; at most 64 kB.", maxLength=65536),
    "negative_prompt": text("What should not be in it; at most 64 kB.", maxLength=65536),
    "checkpoint_name": _name("The model; either slash, with or without a trailing ` [hash]`."),
    "model_hash": _name("The model's hash, when no name is known."),
    "width": _size("Width in pixels"),
    "height": _size("Height in pixels"),
    "steps": _whole("Sampling steps.", 1, 500),
    "cfg_scale": _number("How closely to follow the prompt.", 0, 100),
    "distilled_cfg_scale": _number("The same for distilled models (Flux).", 0, 100),
    "sampler_name": _name("The sampler, by its label."),
    "scheduler": _name("The noise schedule, by label or id."),
    "seed": _whole("-1: draw one when the job is submitted.", -1, _SEED_HIGH),
    "subseed": _whole("The seed of the variation; -1: draw one.", -1, _SEED_HIGH),
    "subseed_strength": _number("How much of the variation to take.", 0, 1),
    "batch_size": _whole("Pictures at once; times `n_iter` at most 64.", 1, 64),
    "n_iter": _whole("Batches one after the other; 0 would be no picture at all.", 1, 64),
    "restore_faces": _flag("Restore faces afterwards."),
    "tiling": _flag("Make the picture's edges fit each other."),
    "clip_skip": _whole(
        "The layer of CLIP to stop at, counted from its end; 0 and 1: its last one.", 0, 12
    ),
    "vae": _name("The VAE; `Automatic` and `None` are names too."),
    "additional_modules": _names("Text encoders and VAEs to load beside the model."),
    "styles": _names("Names of the server's prompt styles."),
    "enable_hr": _flag("Make the picture larger in a second pass."),
    "hr_scale": _number("How many times larger.", 0, 16),
    "hr_upscaler": _name("What makes it larger."),
    "hr_second_pass_steps": _whole("Steps of the second pass; 0: as many as the first.", 0, 500),
    "hr_cfg": _number("`cfg_scale` of the second pass.", 0, 100),
    "hr_additional_modules": _names("`additional_modules` of the second pass."),
    "hr_resize_x": _size_or_0("Width after the second pass, or 0"),
    "hr_resize_y": _size_or_0("Height after the second pass, or 0"),
    "denoising_strength": _number("How much of the first picture to change.", 0, 1),
    "refiner_checkpoint": _name("A second model for the last steps."),
    "refiner_switch_at": _number("After which part of the steps it takes over.", 0, 1),
    "init_images": listed(
        ref("PictureInput"), "Pictures to begin with (img2img), or the one to upscale.", maxItems=64
    ),
    "mask": ref("PictureInput"),
    "mask_blur": _whole("Pixels by which the mask's edge is softened.", 0, 1024),
    "inpainting_fill": _whole("0 fill, 1 original, 2 latent noise, 3 latent nothing.", 0, 3),
    "inpaint_full_res": _flag("Work on the masked part alone."),
    "inpaint_full_res_padding": _whole("Pixels around that part.", 0, 8192),
    "resize_mode": _whole("0 stretch, 1 crop, 2 fill, 3 latent.", 0, 3),
    "upscaler": _name("Of an upscale: what makes the picture larger, by the server's name."),
    "upscale_by": _number(
        "Of an upscale: how many times longer the edges get, 2 if left out. The result has at most"
        " 64 megapixels.",
        1,
        8,
    ),
    "loras": listed(ref("Lora"), "LoRAs; `<lora:name:weight>` in the prompt does the same."),
    "alwayson_scripts": mapping(
        anything(), "Extensions' arguments by script name, for example ControlNet units."
    ),
    "script_name": _name("A script of the server that makes the pictures."),
    "script_args": listed(anything(), "Its arguments."),
    "override_settings": mapping(anything(), "Settings of the server for this job alone."),
}


def _properties() -> dict[str, Shape]:
    found = {}
    for field in FIELDS:
        shape = dict(_PROPERTIES[field.name])
        if field.aliases:
            also = ", ".join(f"`{alias}`" for alias in field.aliases)
            shape["description"] = f"{shape['description']} Also called {also}."
        # null means absent, in all requests
        found[field.name] = nullable(shape)
    return found


COMPONENTS: dict[str, Shape] = {
    "GenerationParams": obj(
        _properties(),
        "What picture to make. 0 is a value, not “missing”. The area is at most 64 megapixels."
        " Unknown names are kept with the job and named in `warnings`.",
        required=[],
        additionalProperties=True,
        examples=[EXAMPLE_PARAMS],
    ),
    "Lora": obj(
        {
            "name": text("File name without its ending.", minLength=1, maxLength=500),
            "weight": nullable(number("1 is full strength.")),
            "hash": nullable(text("To find it under another name.")),
        },
        "One LoRA.",
        required=["name"],
        additionalProperties=True,
    ),
    "PictureInput": {
        "description": "A picture: base64, a data: URL, one of the gallery, or a job's result.",
        "anyOf": [
            text("Base64 of a PNG, JPEG or WebP, or a data: URL with it."),
            obj({"image_id": uuid("A picture of the gallery.")}),
            obj({"job": uuid("A job."), "image": whole("Which of its pictures, from 0.", 0)}),
        ],
    },
}
