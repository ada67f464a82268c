"""From our parameters to Forge's request fields.

All fields that are not named here reach Forge as they came, so that a payload captured on
Forge's own page is replayed field by field.
"""

from collections.abc import Mapping
from typing import Any

from dispatch.dispatchers.base import BackendError, ErrorClass, Order, Request
from dispatch.dispatchers.forge import names
from dispatch.dispatchers.forge.lacking import left_out_silently, refuse_missing_scripts
from dispatch.inventory import ServerInventory
from jobs.params.loras import loras_in_prompt
from models_catalog.resolve import ModelIndex, bare_name

__all__ = ["OVERRIDES", "build", "left_out"]

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
    "infotext_fields",
    "kind",
    "upscaler",
    "upscale_by",
    "send_images",  # false would leave the pictures on the server's disk
}

# Overrides leak into later jobs unless Forge's config.json has them (contracts/forge.md,
# "override_settings leaks"): these are the ones that are restored.
OVERRIDES = {
    "sd_model_checkpoint",
    "CLIP_stop_at_last_layers",
    "forge_additional_modules",
}

# Fields that name a further checkpoint, and the values by which Forge's page names none.
_CHECKPOINT_FIELDS = {
    "refiner_checkpoint": "refiner checkpoint",
    "hr_checkpoint_name": "hires checkpoint",
}
_REFINER = "refiner"
# Fields that name a sampler or a scheduler: what Forge does not know, it replaces silently.
_NAMED = {
    "sampler_name": "sampler",
    "scheduler": "scheduler",
    "hr_sampler_name": "sampler",
    "hr_scheduler": "scheduler",
}
_NO_CHECKPOINT = {"", "None", "none", "Use same checkpoint"}

_NO_VAE = {None, "", "None", "Automatic"}
_MOST_NAMED = 10

# What Forge takes when a request says nothing, and what its own page sends.
_DEFAULT_CFG = 7.0
_PAGE_HIRES_DENOISING = 0.7


def build(order: Order, inventory: ServerInventory | None) -> Request:
    """Return the request.

    Raises BackendError: elsewhere if the server lacks a named checkpoint or script, permanent for
    what no Forge can do.
    """
    params = order.params
    if params.get("infotext"):
        raise _infotext_is_broken()
    refuse_missing_scripts(params, inventory)
    body = {
        _NAMES.get(key, key): value
        for key, value in params.items()
        if key not in _NOT_SENT and value is not None  # Forge answers 422 to some nulls
    }
    body["prompt"] = _prompt_with_loras(str(body.get("prompt", "")), params.get("loras"), inventory)
    _spell(body, inventory)
    overrides = _overrides(params, inventory)
    named = str(overrides.pop("sd_model_checkpoint", ""))
    checkpoint = _listed(order.checkpoint or named, inventory, "checkpoint")
    if checkpoint:
        overrides["sd_model_checkpoint"] = checkpoint
    body["override_settings"] = overrides
    # Restoring is Forge's default; without it the next job would get this one's model.
    body["override_settings_restore_afterwards"] = True
    is_img2img = order.kind == "img2img"
    if body.get("enable_hr") and not is_img2img:
        _complete_hires(body)
    return Request(
        path="/sdapi/v1/img2img" if is_img2img else "/sdapi/v1/txt2img",
        body=body,
        checkpoint=checkpoint,
        asked={
            "sampler": params.get("sampler_name"),
            "scheduler": params.get("scheduler"),
            "loras": _expected_loras(body),
            "images": int(params.get("batch_size", 1)) * int(params.get("n_iter", 1)),
            "pixels": _pixels(body),
            # A script decides itself how many pictures it makes, and how large.
            "unbounded": bool(body.get("script_name")),
        },
        warnings=[*left_out(params), *left_out_silently(body, inventory)],
    )


def _infotext_is_broken() -> BackendError:
    return BackendError(
        ErrorClass.PERMANENT,
        "infotext_unsupported",
        "Forge can't make a picture from the field `infotext`: it answers with an error.",
        "Send the parameters themselves and leave infotext out.",
    )


def _listed(name: str, inventory: ServerInventory | None, what: str) -> str:
    """Return the name in the server's own spelling: it takes no other (folder, slash, case)."""
    if not name or inventory is None:
        return name
    index = ModelIndex(inventory.checkpoints)
    if known := index.find(name):
        return known.name
    if several := [model.name for model in index.matches(name)]:
        raise BackendError(
            ErrorClass.ELSEWHERE,
            "checkpoint_ambiguous",
            f"The server has several files that {name} may mean.",
            f"Choose one as the {what}: {', '.join(several[:3])}.",
        )
    raise BackendError(
        ErrorClass.ELSEWHERE,
        "checkpoint_missing",
        f"The server does not have the {what} {name}.",
        "Copy the file to the server, or choose another one.",
    )


def _spell(body: dict[str, Any], inventory: ServerInventory | None) -> None:
    """Bring names to the server's spelling: what it does not know, it replaces silently."""
    for field, what in _CHECKPOINT_FIELDS.items():
        name = body.get(field)
        if isinstance(name, str) and name not in _NO_CHECKPOINT:
            body[field] = _listed(name, inventory, what)
    aliases = inventory.aliases if inventory else {}
    for field, what in _NAMED.items():
        if isinstance(body.get(field), str):
            body[field] = names.listed(what, body[field], aliases)
    _spell_refiner(body, inventory)
    if isinstance(modules := body.get("hr_additional_modules"), list):
        body["hr_additional_modules"] = _listed_modules(modules, inventory)


def _spell_refiner(body: dict[str, Any], inventory: ServerInventory | None) -> None:
    """Bring the checkpoint of the script "Refiner" to the server's spelling.

    Its arguments count for more than the field: `[enabled, checkpoint, switch_at]`.
    """
    scripts = body.get("alwayson_scripts")
    if not isinstance(scripts, Mapping):
        return
    for title, script in scripts.items():
        args = script.get("args") if title.lower() == _REFINER else None
        if not isinstance(args, list) or len(args) < 2 or not args[0]:
            continue
        enabled, name, *rest = args
        if isinstance(name, str) and name not in _NO_CHECKPOINT:
            listed = _listed(name, inventory, _CHECKPOINT_FIELDS["refiner_checkpoint"])
            told = {**script, "args": [enabled, listed, *rest]}
            body["alwayson_scripts"] = {**scripts, title: told}


def _overrides(params: Mapping[str, Any], inventory: ServerInventory | None) -> dict[str, Any]:
    given = params.get("override_settings") or {}
    overrides = {k: v for k, v in given.items() if k in OVERRIDES and v is not None}
    if "clip_skip" in params:
        # Its own page counts from 1; what a 0 does differs from version to version.
        overrides["CLIP_stop_at_last_layers"] = max(1, params["clip_skip"])
    vae = [params["vae"]] if params.get("vae") not in _NO_VAE else []
    if modules := [*vae, *params.get("additional_modules", ())]:
        overrides["forge_additional_modules"] = _listed_modules(modules, inventory)
    return overrides


def _listed_modules(modules: list[Any], inventory: ServerInventory | None) -> list[Any]:
    """Return VAEs and text encoders in the server's spelling: infotexts omit the extension."""
    there = inventory.modules if inventory else ()
    by_bare_name = {bare_name(name).lower(): name for name in there}
    return [
        by_bare_name.get(bare_name(name).lower(), name)
        if isinstance(name, str) and name not in there
        else name
        for name in modules
    ]


def left_out(params: Mapping[str, Any]) -> list[str]:
    """Say which override settings of an order are not sent."""
    keys = [key for key in params.get("override_settings") or {} if key not in OVERRIDES]
    if not keys:
        return []
    shown = ", ".join(f"override_settings.{key[:60]}" for key in keys[:_MOST_NAMED])
    more = f" and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else ""
    were = "was left out: it" if len(keys) == 1 else "were left out: they"
    return [f"{shown}{more} {were} would stay set for later jobs."]


def _prompt_with_loras(prompt: str, loras: Any, inventory: ServerInventory | None) -> str:
    """Add the listed LoRAs that the prompt does not name: Forge has no other place for them."""
    there = {name.lower() for name in loras_in_prompt(prompt)}
    listed = {name.lower(): name for name in (inventory.loras if inventory else ())}
    for row in loras or ():
        # Forge knows a LoRA by its bare name, in its own case.
        bare = bare_name(str(row.get("name") or "")) if isinstance(row, Mapping) else ""
        if bare and bare.lower() not in there:
            name = listed.get(bare.lower(), bare)
            prompt = f"{prompt} <lora:{name}:{row.get('weight', 1)}>".strip()
    return prompt


def _expected_loras(body: Mapping[str, Any]) -> list[str]:
    return [] if body.get("disable_extra_networks") else loras_in_prompt(body["prompt"])


def _complete_hires(body: dict[str, Any]) -> None:
    # Without these Forge answers 500 after the whole first pass, or uses CFG 1.
    body.setdefault("hr_additional_modules", ["Use same choices"])
    body.setdefault("hr_upscaler", "Latent")
    body.setdefault("hr_cfg", body.get("cfg_scale", _DEFAULT_CFG))
    body.setdefault("denoising_strength", _PAGE_HIRES_DENOISING)


def _pixels(body: Mapping[str, Any]) -> int:
    pixels = int(body.get("width", 512)) * int(body.get("height", 512))
    if body.get("enable_hr"):
        width, height = int(body.get("hr_resize_x") or 0), int(body.get("hr_resize_y") or 0)
        scale = float(body.get("hr_scale", 2))
        pixels = max(int(pixels * scale * scale), width * height, width * width, height * height)
    return pixels
