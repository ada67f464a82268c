"""What a Forge does not have of what a request names (contracts/forge.md).

A script is refused by Forge, so the job is left to a server that has it. All else it leaves out
without a word, so that a warning is all that tells.
"""

import re
from collections.abc import Mapping
from typing import Any

from dispatch.dispatchers.base import BackendError, ErrorClass
from dispatch.inventory import ServerInventory
from jobs.params.scripts import scripts_of

__all__ = ["left_out_silently", "refuse_missing_scripts"]

_HASH = re.compile(r"\s*\[[0-9a-f]{6,64}\]$")
# How Forge's page names that nothing of its own is chosen for the second pass.
_NO_MODULE = {"use same choices", "built in"}
_CONTROLNET = "controlnet"


def refuse_missing_scripts(params: Mapping[str, Any], inventory: ServerInventory | None) -> None:
    """Raise BackendError for a server that lacks a script: sent there, the job would fail."""
    for name in scripts_of(params):
        if inventory is not None and inventory.lacks_script(name):
            raise BackendError(
                ErrorClass.ELSEWHERE,
                "script_missing",
                f"The server does not have the extension {name[:100]!r}.",
                "Install it there, or leave it out of the job.",
            )


def left_out_silently(body: Mapping[str, Any], inventory: ServerInventory | None) -> list[str]:
    """Return a sentence for each thing of a finished request that the server would leave out."""
    if inventory is None:
        return []
    lacks = "The server does not have the"
    return [
        *(f"{lacks} VAE or text encoder {n}: it is left out." for n in _modules(body, inventory)),
        *(f"{lacks} style {n}: it is left out." for n in _styles(body, inventory)),
        *(
            f"{lacks} ControlNet model {n}: the unit does nothing."
            for n in _control_models(body, inventory)
        ),
    ]


def _modules(body: Mapping[str, Any], inventory: ServerInventory) -> list[str]:
    there = {name.lower() for name in inventory.modules} | _NO_MODULE
    named = [body["override_settings"].get("forge_additional_modules")]
    if body.get("enable_hr"):
        named.append(body.get("hr_additional_modules"))
    names = [name for modules in named for name in _texts(modules)]
    return [
        name
        for name in dict.fromkeys(names)
        if name.replace("\\", "/").rpartition("/")[2].lower() not in there
    ]


def _styles(body: Mapping[str, Any], inventory: ServerInventory) -> list[str]:
    if inventory.styles is None:
        return []
    # Lines between the groups of the page's list are no styles, and an old page sends "None".
    there = {"None", *inventory.styles}
    return [
        name
        for name in dict.fromkeys(_texts(body.get("styles")))
        if name not in there and not name.startswith("---")
    ]


def _control_models(body: Mapping[str, Any], inventory: ServerInventory) -> list[str]:
    """Return the ControlNet models of enabled units that the server lacks, each once."""
    scripts = body.get("alwayson_scripts")
    if inventory.control_models is None or not isinstance(scripts, Mapping):
        return []
    there = {"", "none", *(_bare(name) for name in inventory.control_models)}
    units = [
        unit
        for title, script in scripts.items()
        if title.lower() == _CONTROLNET and isinstance(script.get("args"), list)
        for unit in script["args"]
        if isinstance(unit, Mapping) and unit.get("enabled")
    ]
    names = [str(unit.get("model") or "") for unit in units]
    return [name for name in dict.fromkeys(names) if _bare(name) not in there]


def _texts(value: Any) -> list[str]:
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


def _bare(name: str) -> str:
    """Return a model's name without the hash that Forge writes behind it."""
    return _HASH.sub("", name).strip().lower()
