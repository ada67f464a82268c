"""How much work a job is, whatever the server: what its duration is learned and expected by."""

from collections.abc import Mapping
from typing import Any

from jobs.choices import Kind
from jobs.upscaling import factor_of

__all__ = ["work_units"]

# What the servers take where a job says nothing.
_SIDE = 512.0
_STEPS = 20.0
_STRENGTH = 0.75
_SCALE = 2.0
# A control network computes the first half of the model once more in each step.
_CONTROL = 0.4


def work_units(params: Mapping[str, Any], kind: str = Kind.TXT2IMG) -> float:
    """Return the steps on a megapixel that a job takes, over all its pictures.

    Of the steps of a picture that is made from another one only those are done that its strength
    leaves. The second pass of hires fix does all of its own, on the larger picture. Of an upscale
    it is the area that becomes of a megapixel: its picture may not be there yet.
    """
    if kind == Kind.UPSCALE:
        return max(factor_of(params) ** 2, 0.01)
    width, height = _number(params, "width", _SIDE), _number(params, "height", _SIDE)
    steps = _number(params, "steps", _STEPS)
    done = steps
    if kind == Kind.IMG2IMG:
        strength = min(_number(params, "denoising_strength", _STRENGTH), 0.999)
        done = int(strength * steps) + 1
    units = done * width * height / 1e6
    if params.get("enable_hr") and kind != Kind.IMG2IMG:
        second = _number(params, "hr_second_pass_steps", 0) or steps
        units += second * _larger(params, width, height) / 1e6
    units *= 1 + _CONTROL * _control_units(params)
    images = _number(params, "batch_size", 1) * _number(params, "n_iter", 1)
    return max(units * images, 0.01)


def _number(params: Mapping[str, Any], name: str, default: float) -> float:
    value = params.get(name, default)
    return float(value) if isinstance(value, int | float) else default


def _larger(params: Mapping[str, Any], width: float, height: float) -> float:
    """Return the pixels of the second pass: one side alone keeps the shape, none is the scale."""
    across, down = _number(params, "hr_resize_x", 0), _number(params, "hr_resize_y", 0)
    if across and down:
        return across * down
    if across or down:
        scale = across / width if across else down / height
    else:
        scale = _number(params, "hr_scale", _SCALE)
    return width * height * scale * scale


def _control_units(params: Mapping[str, Any]) -> int:
    """Return how many units of ControlNet are on: of all always-on scripts the one that costs."""
    scripts = params.get("alwayson_scripts")
    if not isinstance(scripts, Mapping):
        return 0
    found = 0
    for name, script in scripts.items():
        if str(name).lower() != "controlnet" or not isinstance(script, Mapping):
            continue
        units = script.get("args")
        for unit in units if isinstance(units, list) else ():
            found += isinstance(unit, Mapping) and unit.get("enabled", True) is not False
    return found
