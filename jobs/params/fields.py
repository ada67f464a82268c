"""The known parameters: canonical name, what else they are called, and how they are read.

The list and the limits are those of contracts/api.md, "generation_params".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobs.params import readers
from jobs.params.known import scheduler_label
from jobs.params.readers import Reader

__all__ = ["BY_NAME", "FIELDS", "Field", "checkpoint_key"]

_TRAILING_HASH = re.compile(r"\s*\[[0-9a-fA-F]{6,64}\]\s*$")


def checkpoint_key(name: str) -> str:
    """Return the form in which checkpoint names are compared: no hash, one slash, lower case."""
    return _TRAILING_HASH.sub("", name).replace("\\", "/").strip().lower()


def _scheduler_key(name: str) -> str:
    return scheduler_label(name) or name


def _as_is(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Field:
    """One parameter; `key` makes values of two aliases comparable."""

    name: str
    read: Reader
    aliases: tuple[str, ...] = ()
    key: Callable[[Any], Any] = _as_is


_CFG = readers.number(0, 100)
_FRACTION = readers.number(0, 1)

FIELDS = (
    Field("kind", readers.kind),
    Field("positive_prompt", readers.prompt, ("prompt",)),
    Field("negative_prompt", readers.prompt),
    Field("checkpoint_name", readers.name, ("sd_checkpoint", "checkpoint"), checkpoint_key),
    Field("model_hash", readers.name),
    Field("width", readers.size()),
    Field("height", readers.size()),
    Field("steps", readers.whole(1, 500)),
    Field("cfg_scale", _CFG),
    Field("distilled_cfg_scale", _CFG),
    Field("sampler_name", readers.name, ("sampler", "sampler_index")),
    Field("scheduler", readers.name, key=_scheduler_key),
    Field("seed", readers.seed),
    Field("subseed", readers.seed),
    Field("subseed_strength", _FRACTION),
    Field("batch_size", readers.whole(1, 64)),
    Field("n_iter", readers.whole(1, 64), ("batch_count", "num_images")),
    Field("restore_faces", readers.flag),
    Field("tiling", readers.flag),
    # 0 is what many programs write where no layer is skipped, as 1 does. n_iter 0 has no meaning:
    # the engines fail with it.
    Field("clip_skip", readers.whole(0, 12)),
    Field("vae", readers.name),
    Field("additional_modules", readers.names),
    Field("styles", readers.names),
    Field("enable_hr", readers.flag, ("enable_hires_fix",)),
    Field("hr_scale", readers.number(0, 16)),
    Field("hr_upscaler", readers.name, ("upscaler_model",)),
    Field("hr_second_pass_steps", readers.whole(0, 500)),
    Field("hr_cfg", _CFG),
    Field("hr_additional_modules", readers.names),
    Field("hr_resize_x", readers.size(also=(0,))),
    Field("hr_resize_y", readers.size(also=(0,))),
    Field("denoising_strength", _FRACTION),
    Field("refiner_checkpoint", readers.name, ("refiner_model",), checkpoint_key),
    Field("refiner_switch_at", _FRACTION),
    Field("init_images", readers.pictures),
    Field("mask", readers.picture),
    Field("mask_blur", readers.whole(0, 1024)),
    Field("inpainting_fill", readers.whole(0, 3)),
    Field("inpaint_full_res", readers.flag),
    Field("inpaint_full_res_padding", readers.whole(0, 8192)),
    Field("resize_mode", readers.whole(0, 3)),
    Field("upscaler", readers.name),
    Field("upscale_by", readers.number(1, 8)),
    Field("loras", readers.loras),
    Field("alwayson_scripts", readers.scripts),
    Field("script_name", readers.name),
    Field("script_args", readers.entries),
    Field("override_settings", readers.mapping),
)

BY_NAME = {name: field for field in FIELDS for name in (field.name, *field.aliases)}
