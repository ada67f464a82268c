"""An order's parameters as the text that the web UIs take."""

from collections.abc import Iterator, Mapping
from typing import Any

from jobs.infotext.params import PARAMETERS
from jobs.infotext.structure import Infotext
from jobs.infotext.write import write

__all__ = ["infotext_of"]


def infotext_of(params: Mapping[str, Any]) -> str:
    """Return the infotext of what is asked for; "" if the format can't say it."""
    info = Infotext(
        prompt=str(params.get("positive_prompt", "")).strip(),
        negative_prompt=str(params.get("negative_prompt", "")).strip(),
        fields=tuple(_fields(params)),
    )
    try:
        return write(info)
    except ValueError:
        return ""


def _fields(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field, name in PARAMETERS.items():
        value = params.get(name)
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
            yield field, str(value)
        if field == "Seed" and params.get("width") and params.get("height"):
            yield "Size", f"{params['width']}x{params['height']}"
        if field == "Seed" and params.get("checkpoint_name"):
            yield "Model", str(params["checkpoint_name"])
