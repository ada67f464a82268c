"""Which scripts of its engine a job needs."""

from collections.abc import Mapping
from typing import Any

__all__ = ["scripts_of"]


def scripts_of(params: Mapping[str, Any]) -> list[str]:
    """Return the scripts that a job needs, as written."""
    always = params.get("alwayson_scripts")
    names = [str(name) for name in always] if isinstance(always, Mapping) else []
    selected = params.get("script_name")
    return [*names, selected] if isinstance(selected, str) and selected else names
