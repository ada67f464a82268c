"""The request models of txt2img and img2img, and FastAPI's way of refusing a body."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dispatch.fakes.forge.errors import RequestRefused

_ERRORS_URL = "https://errors.pydantic.dev/2.8/v/"
_TRUE = {"1", "true", "t", "yes", "y", "on"}
_FALSE = {"0", "false", "f", "no", "n", "off"}
_INTEGER = re.compile(r"\s*[+-]?\d+(\.0*)?\s*\Z")


@dataclass(frozen=True)
class Field:
    """One field of a request model; `kind` is str, int, float, bool, dict, list or texts."""

    name: str
    kind: str
    default: Any = None
    nullable: bool = True


def _fields(lines: str) -> tuple[Field, ...]:
    """Read `name kind[!] [default as JSON]` lines; `!` marks a field that refuses null."""
    fields = []
    for line in lines.strip().splitlines():
        name, kind, *default = line.split(maxsplit=2)
        fields.append(
            Field(
                name,
                kind.rstrip("!"),
                json.loads(default[0]) if default else None,
                not kind.endswith("!"),
            )
        )
    return tuple(fields)


_COMMON = """
prompt str ""
negative_prompt str ""
styles texts
seed int -1
subseed int -1
subseed_strength float 0
seed_resize_from_h int -1
seed_resize_from_w int -1
sampler_name str
scheduler str
batch_size int 1
n_iter int 1
steps int 50
cfg_scale float 7.0
distilled_cfg_scale float 3.5
width int 512
height int 512
restore_faces bool
tiling bool
do_not_save_samples bool false
do_not_save_grid bool false
eta float
{denoising}
s_min_uncond float
s_churn float
s_tmax float
s_tmin float
s_noise float
override_settings dict
override_settings_restore_afterwards bool true
refiner_checkpoint str
refiner_switch_at float
disable_extra_networks bool false
firstpass_image str
comments dict
{own}
sampler_index str! "Euler"
{own_late}
script_name str
script_args list! []
send_images bool! true
save_images bool! false
alwayson_scripts dict! {{}}
infotext str
"""

TXT2IMG = _fields(
    _COMMON.format(
        denoising="denoising_strength float",
        own="""enable_hr bool false
firstphase_width int 0
firstphase_height int 0
hr_scale float 2.0
hr_upscaler str
hr_second_pass_steps int 0
hr_resize_x int 0
hr_resize_y int 0
hr_checkpoint_name str
hr_additional_modules list
hr_sampler_name str
hr_scheduler str
hr_prompt str ""
hr_negative_prompt str ""
hr_cfg float 1.0
hr_distilled_cfg float 3.5
force_task_id str""",
        own_late="",
    ).replace("\n\n", "\n")
)

IMG2IMG = _fields(
    _COMMON.format(
        denoising="denoising_strength float! 0.75",
        own="""init_images list
resize_mode int 0
image_cfg_scale float
mask str
mask_blur_x int 4
mask_blur_y int 4
mask_blur int
mask_round bool true
inpainting_fill int 0
inpaint_full_res bool true
inpaint_full_res_padding int 0
inpainting_mask_invert int 0
initial_noise_multiplier float
latent_mask str
force_task_id str
hr_distilled_cfg float 3.5""",
        own_late="include_init_images bool! false",
    )
)


EXTRAS = _fields(
    """
resize_mode int! 0
show_extras_results bool! true
gfpgan_visibility float! 0
codeformer_visibility float! 0
codeformer_weight float! 0
upscaling_resize float! 2
upscaling_resize_w int! 512
upscaling_resize_h int! 512
upscaling_crop bool! true
upscaler_1 str! "None"
upscaler_2 str! "None"
extras_upscaler_2_visibility float! 0
upscale_first bool! false
image str! ""
"""
)


class _Invalid(Exception):
    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


def read_json(content_type: str | None, body: bytes) -> Any:
    """Return what FastAPI takes as the body: JSON, or plain text for another content type."""
    if not body:
        raise RequestRefused(422, [_error("missing", ["body"], "Field required", None)])
    media = (content_type or "application/json").split(";")[0].strip().lower()
    if media != "application/json" and not media.endswith("+json"):
        return body.decode("utf-8", "replace")
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        detail = {
            "type": "json_invalid",
            "loc": ["body", error.pos],
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": error.msg},
        }
        raise RequestRefused(422, [detail]) from error
    except ValueError as error:  # not UTF-8, or a number of more than 4300 digits
        raise RequestRefused(400, "There was an error parsing the body") from error


def validate(body: Any, fields: Iterable[Field]) -> dict[str, Any]:
    """Return all fields in the model's order, defaults filled in, unknown ones dropped.

    Raise RequestRefused 422 with one entry for each bad field, as FastAPI does.
    """
    if not isinstance(body, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        error = _error("model_attributes_type", ["body"], message, body)
        raise RequestRefused(422, [error])
    values: dict[str, Any] = {}
    errors = []
    for field in fields:
        if field.name not in body:
            default = field.default
            values[field.name] = default.copy() if isinstance(default, dict | list) else default
            continue
        given = body[field.name]
        try:
            values[field.name] = _convert(given, field)
        except _Invalid as invalid:
            errors.append(_error(invalid.kind, ["body", field.name], invalid.message, given))
    if errors:
        raise RequestRefused(422, errors)
    return values


def require_dict(body: Any) -> dict[str, Any]:
    """Return the body of a route that takes any object (POST /options)."""
    if not isinstance(body, dict):
        message = "Input should be a valid dictionary"
        raise RequestRefused(422, [_error("dict_type", ["body"], message, body)])
    return body


def _error(kind: str, loc: list[Any], message: str, given: Any) -> dict[str, Any]:
    return {"type": kind, "loc": loc, "msg": message, "input": given, "url": _ERRORS_URL + kind}


def _convert(value: Any, field: Field) -> Any:
    if value is None and field.nullable:
        return None
    return _CONVERTERS[field.kind](value)


def _to_str(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise _Invalid("string_type", "Input should be a valid string")


def _to_int(value: Any) -> int:
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _Invalid("finite_number", "Input should be a finite number")
        if value != int(value):
            raise _Invalid(
                "int_from_float",
                "Input should be a valid integer, got a number with a fractional part",
            )
        return int(value)
    if isinstance(value, str):
        if _INTEGER.match(value):
            return int(value.strip().split(".")[0])
        raise _Invalid(
            "int_parsing", "Input should be a valid integer, unable to parse string as an integer"
        )
    raise _Invalid("int_type", "Input should be a valid integer")


def _to_float(value: Any) -> float:
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise _Invalid(
                "float_parsing",
                "Input should be a valid number, unable to parse string as a number",
            ) from None
    raise _Invalid("float_type", "Input should be a valid number")


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float | str):
        text = str(int(value)) if isinstance(value, float) and value in (0, 1) else str(value)
        if text.lower() in _TRUE:
            return True
        if text.lower() in _FALSE:
            return False
        raise _Invalid("bool_parsing", "Input should be a valid boolean, unable to interpret input")
    raise _Invalid("bool_type", "Input should be a valid boolean")


def _to_dict(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise _Invalid("dict_type", "Input should be a valid dictionary")


def _to_list(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    raise _Invalid("list_type", "Input should be a valid list")


def _to_texts(value: Any) -> list[str]:
    return [_to_str(item) for item in _to_list(value)]


_CONVERTERS = {
    "str": _to_str,
    "int": _to_int,
    "float": _to_float,
    "bool": _to_bool,
    "dict": _to_dict,
    "list": _to_list,
    "texts": _to_texts,
}
