"""Which LoRAs a job asks for, wherever its parameters name them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["loras_in_prompt", "loras_of", "without_loras"]

_LORA = re.compile(r"<lora:([^:>]+)(?::([^>]*))?>")
_PROMPTS = ("positive_prompt", "hr_prompt")


def loras_in_prompt(prompt: str) -> list[str]:
    """Return the names in `<lora:name:weight>`, in order, each once."""
    return list(dict.fromkeys(name.strip() for name, _ in _LORA.findall(prompt)))


def loras_of(params: Mapping[str, Any]) -> list[str]:
    """Return the names of the LoRAs in the prompts and in `loras`, as written, each once.

    Whatever their case, they mean the same.
    """
    if params.get("disable_extra_networks") or params.get("kind") == "upscale":
        return []  # an upscale has its prompt only to be found by
    named = [name for key in _PROMPTS for name in loras_in_prompt(str(params.get(key) or ""))]
    named += [_name_of(row) for row in _rows(params)]
    found: dict[str, str] = {}
    for name in filter(None, named):
        found.setdefault(name.lower(), name)
    return list(found.values())


def without_loras(params: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the parameters that change when these LoRAs are left out; None: it is removed."""
    unwanted = {name.lower() for name in names}
    changes: dict[str, Any] = {}
    for key in _PROMPTS:
        prompt = str(params.get(key) or "")
        kept = _LORA.sub(
            lambda tag: "" if tag.group(1).strip().lower() in unwanted else tag.group(0), prompt
        )
        if kept != prompt:
            changes[key] = kept.strip()
    rows = _rows(params)
    left = [row for row in rows if _name_of(row).lower() not in unwanted]
    if len(left) < len(rows):
        changes["loras"] = left or None
    return changes


def _rows(params: Mapping[str, Any]) -> list[Any]:
    rows = params.get("loras")
    return rows if isinstance(rows, list) else []


def _name_of(row: Any) -> str:
    return str(row.get("name") or "").strip() if isinstance(row, Mapping) else ""
