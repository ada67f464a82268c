"""What a Forge lists (contracts/forge.md, "Checkpoints", and recordings under discovery/)."""

import re
from typing import Any

from dispatch.dispatchers.forge.client import Client, WrongAnswer
from dispatch.inventory import ServerInventory
from models_catalog.resolve import KnownModel

__all__ = ["read"]

_TITLE_HASH = re.compile(r" \[[0-9a-f]+\]$")


def read(client: Client) -> ServerInventory:
    """Return the inventory; raises what the client raises."""
    samplers = client.get("/sdapi/v1/samplers")
    schedulers = client.get("/sdapi/v1/schedulers")
    upscalers = _names(client.get("/sdapi/v1/latent-upscale-modes")) + _names(
        client.get("/sdapi/v1/upscalers")
    )
    options = client.get("/sdapi/v1/options")
    return ServerInventory(
        checkpoints=tuple(_checkpoint(row) for row in client.get("/sdapi/v1/sd-models")),
        loras=tuple(_names(_extension_route(client, "/sdapi/v1/loras"))),
        samplers=tuple(_names(samplers)),
        schedulers=tuple(str(row.get("label") or row["name"]) for row in schedulers),
        upscalers=tuple(dict.fromkeys(name for name in upscalers if name != "None")),
        modules=tuple(_names(_extension_route(client, "/sdapi/v1/sd-modules"), "model_name")),
        scripts=tuple(_scripts(client.get("/sdapi/v1/scripts"))),
        selected=_TITLE_HASH.sub("", str(options.get("sd_model_checkpoint") or "")),
        aliases=_sampler_aliases(samplers) | _scheduler_aliases(schedulers),
    )


def _checkpoint(row: dict[str, Any]) -> KnownModel:
    # The title gains " [hash]" at the first load; the part before it is what stays.
    return KnownModel(
        name=_TITLE_HASH.sub("", str(row["title"])),
        short_hash=str(row.get("hash") or ""),
        sha256=str(row.get("sha256") or ""),
        other_names=(str(row.get("model_name") or ""),),
    )


def _names(rows: Any, key: str = "name") -> list[str]:
    return [str(row[key]) for row in rows if isinstance(row, dict) and row.get(key)]


def _extension_route(client: Client, path: str) -> Any:
    # Routes of built-in extensions appear up to half a second after Forge's own.
    try:
        return client.get(path)
    except WrongAnswer:
        return []


def _scripts(lists: Any) -> list[str]:
    found = [*lists.get("txt2img", ()), *lists.get("img2img", ())]
    return list(dict.fromkeys(str(name) for name in found))


def _sampler_aliases(rows: Any) -> dict[str, str]:
    aliases = {}
    for row in rows:
        for alias in (row["name"], *(row.get("aliases") or ())):
            aliases[f"sampler:{str(alias).lower()}"] = str(row["name"])
    return aliases


def _scheduler_aliases(rows: Any) -> dict[str, str]:
    aliases = {}
    for row in rows:
        label = str(row.get("label") or row["name"])
        for alias in (label, row["name"], *(row.get("aliases") or ())):
            aliases[f"scheduler:{str(alias).lower()}"] = label
    return aliases
