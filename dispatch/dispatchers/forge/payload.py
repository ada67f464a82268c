"""From our parameters to Forge's request fields.

All fields that are not named here reach Forge as they came, so that a payload captured on
Forge's own page is replayed field by field.
"""

from collections.abc import Mapping
from typing import Any

from dispatch.dispatchers.base import BackendError, ErrorClass, Order, Request
from dispatch.inventory import ServerInventory
from models_catalog.resolve import loras_in_prompt, resolve

__all__ = ["OVERRIDES", "build"]

# Our canonical names -> Forge's. Everything else keeps its name.
_NAMES = {"positive_prompt": "prompt"}

# Ours alone, or turned into something else below.
_NOT_SENT = {
    "checkpoint_name",
    "model_hash",
    "clip_skip",
    "vae",
    "additional_modules",
    "loras",
    "override_settings",
    "refiner_checkpoint",
}

# Overrides leak into later jobs unless Forge's config.json has them (contracts/forge.md,
# "override_settings leaks"): these are the ones that are restored.
OVERRIDES = {
    "sd_model_checkpoint",
    "CLIP_stop_at_last_layers",
    "forge_additional_modules",
}


def build(order: Order, inventory: ServerInventory | None) -> Request:
    """Return the request; raises BackendError (elsewhere) if the server lacks a named model."""
    params = order.params
    warnings: list[str] = []
    body = {_NAMES.get(key, key): value for key, value in params.items() if key not in _NOT_SENT}
    body["prompt"] = _prompt_with_loras(str(body.get("prompt", "")), params.get("loras"))
    overrides = _overrides(params, warnings)
    checkpoint = _listed(order.checkpoint, inventory, "checkpoint")
    if checkpoint:
        overrides["sd_model_checkpoint"] = checkpoint
    body["override_settings"] = overrides
    # Restoring is Forge's default; without it the next job would get this one's model.
    body["override_settings_restore_afterwards"] = True
    if params.get("refiner_checkpoint"):
        body["refiner_checkpoint"] = _listed(
            str(params["refiner_checkpoint"]), inventory, "refiner checkpoint"
        )
    if body.get("enable_hr"):
        _complete_hires(body)
    path = "/sdapi/v1/img2img" if order.kind == "img2img" else "/sdapi/v1/txt2img"
    return Request(
        path=path,
        body=body,
        checkpoint=checkpoint,
        asked={
            "sampler": params.get("sampler_name"),
            "scheduler": params.get("scheduler"),
            "loras": loras_in_prompt(body["prompt"]),
            "images": int(params.get("batch_size", 1)) * int(params.get("n_iter", 1)),
            "pixels": _pixels(body),
        },
        warnings=warnings,
    )


def _listed(name: str, inventory: ServerInventory | None, what: str) -> str:
    """Return the name in the server's own spelling: it takes no other (folder, slash, case)."""
    if not name or inventory is None:
        return name
    known = resolve(name, inventory.checkpoints)
    if known is None:
        raise BackendError(
            ErrorClass.ELSEWHERE,
            "checkpoint_missing",
            f"The server does not have the {what} {name}.",
            "Copy the file to the server, or choose another one.",
        )
    return known.name


def _overrides(params: Mapping[str, Any], warnings: list[str]) -> dict[str, Any]:
    given = params.get("override_settings") or {}
    overrides = {key: value for key, value in given.items() if key in OVERRIDES}
    warnings += [
        f"override_settings.{key} was left out: it would stay set for later jobs."
        for key in given
        if key not in OVERRIDES
    ]
    overrides.pop("sd_model_checkpoint", None)  # the job's checkpoint, set by `build`
    if "clip_skip" in params:
        overrides["CLIP_stop_at_last_layers"] = params["clip_skip"]
    vae = [params["vae"]] if params.get("vae") else []
    modules = [*vae, *params.get("additional_modules", ())]
    if modules:
        overrides["forge_additional_modules"] = modules
    return overrides


def _prompt_with_loras(prompt: str, loras: Any) -> str:
    there = {name.lower() for name in loras_in_prompt(prompt)}
    for row in loras or ():
        if isinstance(row, Mapping) and str(row.get("name", "")).lower() not in there:
            prompt = f"{prompt} <lora:{row['name']}:{row.get('weight', 1)}>".strip()
    return prompt


def _complete_hires(body: dict[str, Any]) -> None:
    # Without these Forge answers 500 after the whole first pass, or uses CFG 1.
    body.setdefault("hr_additional_modules", ["Use same choices"])
    body.setdefault("hr_upscaler", "Latent")
    if "hr_cfg" not in body and "cfg_scale" in body:
        body["hr_cfg"] = body["cfg_scale"]


def _pixels(body: Mapping[str, Any]) -> int:
    pixels = int(body.get("width", 512)) * int(body.get("height", 512))
    if body.get("enable_hr"):
        width, height = int(body.get("hr_resize_x") or 0), int(body.get("hr_resize_y") or 0)
        scale = float(body.get("hr_scale", 2))
        pixels = max(int(pixels * scale * scale), width * height, width * width, height * height)
    return pixels
