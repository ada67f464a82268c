"""Writing an infotext, as the web UIs write it."""

import json

from jobs.infotext.parse import NEGATIVE, parse
from jobs.infotext.scan import is_json
from jobs.infotext.structure import Infotext

__all__ = ["write"]


def write(info: Infotext) -> str:
    """Return the text that `parse` reads as this very structure.

    Raises ValueError for what the format can't say: it marks the negative prompt and the fields
    by nothing but the beginning of a line, so a prompt may not have such a line itself.
    """
    negative = f"{NEGATIVE} {info.negative_prompt}" if info.negative_prompt else ""
    fields = ", ".join(
        name if name == value else f"{name}: {_quoted(value)}" for name, value in info.fields
    )
    text = "\n".join(part for part in (info.prompt, negative, fields, info.notes) if part)
    if parse(text) != info:
        raise ValueError("an infotext can't hold this: a part of it would be read as another")
    return text


def _quoted(value: str) -> str:
    """Return a value as it stands among others: a JSON text where it would fall apart."""
    if is_json(value):
        return value
    plain = value == value.strip() and not value.startswith('"') and not set(",:\n\r") & set(value)
    return value if plain else json.dumps(value, ensure_ascii=False)
