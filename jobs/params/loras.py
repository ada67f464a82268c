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
    """Return the names of the LoRAs in the prompts and in `loras`, as written, each once."""
    if params.get("disable_extra_networks"):
        return []
    named = [name for key in _PROMPTS for name in loras_in_prompt(str(params.get(key) or ""))]
    named += [_name_of(row) for row in _rows(params)]
    return list(dict.fromkeys(name for name in named if name))


def without_loras(params: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the parameters that change when these LoRAs are left out; None: it is removed."""
    unwanted = set(names)
    changes: dict[str, Any] = {}
    for key in _PROMPTS:
        prompt = str(params.get(key) or "")
        if unwanted & set(loras_in_prompt(prompt)):
            changes[key] = _LORA.sub(
                lambda tag: "" if tag.group(1).strip() in unwanted else tag.group(0), prompt
            ).strip()
    rows = _rows(params)
    kept = [row for row in rows if _name_of(row) not in unwanted]
    if len(kept) < len(rows):
        changes["loras"] = kept or None
    return changes


def _rows(params: Mapping[str, Any]) -> list[Any]:
    rows = params.get("loras")
    return rows if isinstance(rows, list) else []


def _name_of(row: Any) -> str:
    return str(row.get("name") or "").strip() if isinstance(row, Mapping) else ""
