"""What a Forge lists (contracts/forge.md, "Checkpoints", and recordings under discovery/)."""

import re
from typing import Any

from dispatch.dispatchers.forge.client import Client, WrongAnswer
from dispatch.inventory import ServerInventory
from models_catalog.resolve import KnownModel

__all__ = ["read"]

_SECONDS = 5.0  # for each list
_TITLE_HASH = re.compile(r" \[[0-9a-f]+\]$")


def read(client: Client) -> ServerInventory:
    """Return the inventory; raises what the client raises, and KeyError, TypeError or
    AttributeError for lists of another shape."""
    loras = _late_rows(client, "loras")
    samplers = _rows(client, "samplers")
    schedulers = _rows(client, "schedulers")
    modules = _late_rows(client, "sd-modules")
    latent = _names(_rows(client, "latent-upscale-modes"))
    upscalers = latent + _names(_rows(client, "upscalers"))
    labels = _scheduler_aliases(schedulers)
    return ServerInventory(
        checkpoints=tuple(_checkpoint(row) for row in _rows(client, "sd-models")),
        loras=tuple(_names(loras)),
        lora_aliases=tuple(str(row["alias"]) for row in loras if row.get("alias")),
        samplers=tuple(_names(samplers)),
        schedulers=tuple(str(row.get("label") or row["name"]) for row in schedulers),
        upscalers=tuple(dict.fromkeys(name for name in upscalers if name != "None")),
        latent_upscalers=tuple(latent),
        modules=tuple(_names(modules, "model_name")),
        text_encoders=tuple(_names([m for m in modules if _is_text_encoder(m)], "model_name")),
        embeddings=tuple(_embeddings(client)),
        scripts=tuple(_scripts(_get(client, "scripts"))),
        styles=_styles(client),
        control_models=_control_models(client),
        selected=_TITLE_HASH.sub("", str(_get(client, "options").get("sd_model_checkpoint") or "")),
        aliases=_sampler_aliases(samplers, labels) | labels,
    )


def _get(client: Client, name: str) -> Any:
    return client.get(f"/sdapi/v1/{name}", _SECONDS)


def _rows(client: Client, name: str) -> list[dict[str, Any]]:
    rows = _get(client, name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TypeError(f"{name} is no list of objects")
    return rows


def _late_rows(client: Client, name: str) -> list[dict[str, Any]]:
    # Routes of built-in extensions appear up to half a second after Forge's own.
    try:
        return _rows(client, name)
    except WrongAnswer:
        return []


def _is_text_encoder(module: dict[str, Any]) -> bool:
    """Tell by its folder: VAEs and text encoders come in one list, without their kind."""
    folders = str(module.get("filename") or "").replace("\\", "/").lower().split("/")[:-1]
    return not {"text_encoder", "text_encoders", "clip"}.isdisjoint(folders)


def _embeddings(client: Client) -> list[str]:
    """Return the embeddings, with those that don't fit the model that is loaded now."""
    try:
        lists = _get(client, "embeddings")
    except WrongAnswer:
        return []
    return [str(name) for kind in ("loaded", "skipped") for name in lists.get(kind) or ()]


def _checkpoint(row: dict[str, Any]) -> KnownModel:
    # The title gains " [hash]" at the first load; the part before it is what stays.
    return KnownModel(
        name=_TITLE_HASH.sub("", str(row["title"])),
        short_hash=str(row.get("hash") or ""),
        sha256=str(row.get("sha256") or ""),
        other_names=(str(row.get("model_name") or ""),),
    )


def _names(rows: list[dict[str, Any]], key: str = "name") -> list[str]:
    return [str(row[key]) for row in rows if row.get(key)]


def _scripts(lists: Any) -> list[str]:
    found = [*lists.get("txt2img", ()), *lists.get("img2img", ())]
    return list(dict.fromkeys(str(name) for name in found))


def _styles(client: Client) -> tuple[str, ...] | None:
    try:
        return tuple(_names(_rows(client, "prompt-styles")))
    except (WrongAnswer, TypeError):
        return None  # a fork that has none; nothing else is worse for it


def _control_models(client: Client) -> tuple[str, ...] | None:
    try:
        found = client.get("/controlnet/model_list", _SECONDS)
    except WrongAnswer:
        return None  # not there yet, or switched off
    names = found.get("model_list") if isinstance(found, dict) else None
    return tuple(str(name) for name in names) if isinstance(names, list) else None


def _sampler_aliases(rows: list[dict[str, Any]], labels: dict[str, str]) -> dict[str, str]:
    """Return the aliases of samplers, and what "Automatic" means for each."""
    aliases = {}
    for row in rows:
        name = str(row["name"])
        for alias in (name, *(row.get("aliases") or ())):
            aliases[f"sampler:{str(alias).lower()}"] = name
        default = str((row.get("options") or {}).get("scheduler") or "")
        if label := labels.get(f"scheduler:{default.lower()}"):
            aliases[f"default:{name.lower()}"] = label
    return aliases


def _scheduler_aliases(rows: list[dict[str, Any]]) -> dict[str, str]:
    aliases = {}
    for row in rows:
        label = str(row.get("label") or row["name"])
        for alias in (label, row["name"], *(row.get("aliases") or ())):
            aliases[f"scheduler:{str(alias).lower()}"] = label
    return aliases
