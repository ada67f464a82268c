"""A request's numbers and names: where Forge stumbles over them, and what becomes of them."""

from __future__ import annotations

import random
from typing import Any

from dispatch.fakes.forge.errors import PythonError
from dispatch.fakes.forge.infotext import Facts
from dispatch.fakes.forge.inventory import Checkpoint, Inventory
from dispatch.fakes.forge.options import Options
from dispatch.fakes.forge.recorded import resolve_sampler, upscaler_names
from dispatch.fakes.forge.scripts import controlnet_units

OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 2.25 GiB. GPU 0 has a total capacity of 7.78 GiB of "
    "which 1.06 GiB is free. Of the allocated memory 6.21 GiB is allocated by PyTorch, and "
    "121.53 MiB is reserved by PyTorch but unallocated."
)
# A request beyond this would need gigabytes of the fake's own memory.
_MAX_PIXELS = 64 * 1024 * 1024
_NO_CHECKPOINT = (None, "", "None", "none", "Use same checkpoint")


def check_values(request: dict[str, Any], inventory: Inventory) -> None:
    """Raise the PythonError that Forge's own code raises for a value (recordings errors/*)."""
    if request["steps"] is None:
        message = "unsupported operand type(s) for //: 'NoneType' and 'NoneType'"
        raise PythonError("TypeError", message)
    if request["steps"] == 0:
        raise PythonError("ZeroDivisionError", "integer division or modulo by zero")
    for name in ("width", "height", "batch_size", "n_iter", "cfg_scale"):
        if request[name] is None:
            message = "unsupported operand type(s) for *: 'NoneType' and 'int'"
            raise PythonError("TypeError", message)
    if request["batch_size"] < 1 or request["n_iter"] < 1:
        raise PythonError("IndexError", "list index out of range")
    _check_size(request)
    _check_names(request, inventory)


def _check_size(request: dict[str, Any]) -> None:
    columns, rows = request["width"] // 8, request["height"] // 8
    if columns < 1 or rows < 1:
        message = (
            f"Calculated padded input size per channel: ({rows + 2} x {columns + 2}). "
            "Kernel size: (3 x 3). Kernel size can't be greater than actual input size"
        )
        raise PythonError("RuntimeError", message)
    if columns == 1 and rows == 1:
        message = (
            "Given groups=1, weight of size [320, 4, 3, 3], expected input[2, 9, 1, 1] "
            "to have 4 channels, but got 9 channels instead"
        )
        raise PythonError("RuntimeError", message)
    width, height = final_size(request)
    if width * height * request["batch_size"] > _MAX_PIXELS:
        raise PythonError("OutOfMemoryError", OUT_OF_MEMORY)


def _check_names(request: dict[str, Any], inventory: Inventory) -> None:
    wanted = [request["refiner_checkpoint"]]
    if request.get("enable_hr"):
        upscaler = request["hr_upscaler"]
        if upscaler is not None and upscaler not in upscaler_names():
            raise PythonError("Exception", f"could not find upscaler named {upscaler}")
        wanted.append(request["hr_checkpoint_name"])
    for name in wanted:
        if name not in _NO_CHECKPOINT and inventory.find(name) is None:
            raise PythonError("Exception", f"Could not find checkpoint with name {name}")


def final_size(request: dict[str, Any]) -> tuple[int, int]:
    """Return the size of the finished picture: floored to 8, hires scaled."""
    width, height = request["width"], request["height"]
    if request.get("enable_hr"):
        x, y = request["hr_resize_x"] or 0, request["hr_resize_y"] or 0
        if x or y:
            width, height = x or y * width // height, y or x * height // width
        else:
            scale = request["hr_scale"] or 1
            width, height = int(width * scale), int(height * scale)
    return floored(width), floored(height)


def floored(pixels: int) -> int:
    """Return a size as the model makes it: a multiple of 8."""
    return max(pixels // 8 * 8, 8)


def sampled_steps(kind: str, request: dict[str, Any]) -> int:
    """Return the steps of the first pass: img2img does only the denoising part of them."""
    steps: int = request["steps"]
    if kind == "img2img" and steps > 0:
        return int(min(request["denoising_strength"], 0.999) * steps) + 1
    return steps


def facts_of(
    kind: str,
    request: dict[str, Any],
    checkpoint: Checkpoint,
    inventory: Inventory,
    options: Options,
) -> Facts:
    """Return what the pictures will be made with; seeds of -1 are drawn here."""
    count = request["batch_size"] * request["n_iter"]
    seed, subseed = _drawn(request["seed"]), _drawn(request["subseed"])
    strength = request["subseed_strength"] or 0
    sampler, scheduler = resolve_sampler(
        request["sampler_name"], request["sampler_index"], request["scheduler"]
    )
    clip_skip = options["CLIP_stop_at_last_layers"]
    return Facts(
        prompt=request["prompt"] or "",
        negative=request["negative_prompt"] or "",
        seeds=[seed + (0 if strength else index) for index in range(count)],
        subseeds=[subseed + index for index in range(count)],
        subseed_strength=strength,
        steps=request["steps"],
        cfg_scale=request["cfg_scale"],
        width=request["width"],
        height=request["height"],
        batch_size=request["batch_size"],
        sampler=sampler,
        scheduler=scheduler,
        model_name=checkpoint.stem,
        model_hash=checkpoint.short_hash,
        clip_skip=int(clip_skip) if isinstance(clip_skip, int | float) else 1,
        denoising_strength=request["denoising_strength"],
        restore_faces=bool(request["restore_faces"]),
        styles=request["styles"] or [],
        extra=_extra_parameters(kind, request, inventory),
    )


def _extra_parameters(kind: str, request: dict[str, Any], inventory: Inventory) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if kind == "img2img":
        extra["Denoising strength"] = request["denoising_strength"]
        if request["mask"]:
            extra["Mask blur"] = 4 if request["mask_blur"] is None else request["mask_blur"]
    elif request["enable_hr"]:
        extra |= _hires_parameters(request)
    for index, unit in controlnet_units(request["alwayson_scripts"]):
        extra[f"ControlNet {index}"] = unit.infotext
    prompt = request["prompt"] or ""
    if loras := inventory.loras_in(prompt):
        extra["Lora hashes"] = ", ".join(f"{lora.name}: {lora.digest}" for lora in loras)
    if embeddings := inventory.embeddings_in(prompt):
        extra["TI"] = ", ".join(embeddings)
    return extra


def _hires_parameters(request: dict[str, Any]) -> dict[str, Any]:
    extra: dict[str, Any] = {"Denoising strength": request["denoising_strength"]}
    for number, module in enumerate(request["hr_additional_modules"] or [], start=1):
        extra[f"Hires Module {number}"] = module
    extra |= {
        "Hires prompt": request["hr_prompt"] or None,
        "Hires negative prompt": request["hr_negative_prompt"] or None,
        "Hires CFG Scale": request["hr_cfg"],
        "Hires Distilled CFG Scale": None,
    }
    if request["hr_sampler_name"]:
        extra["Hires sampler"] = request["hr_sampler_name"]
    extra["Hires schedule type"] = request["hr_scheduler"]
    if request["hr_resize_x"] or request["hr_resize_y"]:
        extra["Hires resize"] = f"{request['hr_resize_x']}x{request['hr_resize_y']}"
    else:
        extra["Hires upscale"] = request["hr_scale"]
    if request["hr_second_pass_steps"]:
        extra["Hires steps"] = request["hr_second_pass_steps"]
    extra["Hires upscaler"] = request["hr_upscaler"]
    return extra


def _drawn(seed: int | None) -> int:
    return random.randrange(2**32) if seed is None or seed == -1 else seed
