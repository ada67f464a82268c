"""How people and programs name a checkpoint or LoRA, and which listed one they mean.

Names come with either slash, with or without a trailing " [hash]", as a title, a path relative
to the models folder, a stem or a hash (contracts/forge.md, "Checkpoints").
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

__all__ = ["KnownModel", "loras_in_prompt", "model_key", "resolve"]

_TRAILING_HASH = re.compile(r"\s*\[[0-9a-fA-F]{6,64}\]\s*$")
_LORA = re.compile(r"<lora:([^:>]+)(?::([^>]*))?>")


@dataclass(frozen=True)
class KnownModel:
    """A model that a server lists; `name` is what is sent back to that server."""

    name: str
    short_hash: str = ""
    sha256: str = ""
    other_names: tuple[str, ...] = ()


def model_key(name: str) -> str:
    """Return the form under which names are compared: no hash, forward slashes, lower case."""
    return _TRAILING_HASH.sub("", name).replace("\\", "/").strip().lower()


def resolve(name: str, known: Sequence[KnownModel]) -> KnownModel | None:
    """Return the model that a name means, or None; an ambiguous stem means none.

    The full relative path wins over a hash, a hash over other names, these over a bare stem.
    """
    wanted = model_key(name)
    if not wanted:
        return None
    for model in known:
        if model_key(model.name) == wanted:
            return model
    for model in known:
        hashes = {model.short_hash.lower(), model.sha256.lower()} - {""}
        if wanted in hashes or (len(wanted) >= 10 and model.sha256.lower().startswith(wanted)):
            return model
    for model in known:
        if wanted in {model_key(other) for other in model.other_names}:
            return model
    wanted_path = PurePosixPath(wanted)
    by_file = [m for m in known if PurePosixPath(model_key(m.name)).name == wanted_path.name]
    by_stem = [m for m in known if PurePosixPath(model_key(m.name)).stem == wanted]
    for matches in (by_file if "/" not in wanted else [], by_stem):
        if len(matches) == 1:
            return matches[0]
    return None


def loras_in_prompt(prompt: str) -> list[str]:
    """Return the names in `<lora:name:weight>`, in order, each once."""
    return list(dict.fromkeys(name.strip() for name, _ in _LORA.findall(prompt)))
