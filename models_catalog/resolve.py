"""How people and programs name a checkpoint or LoRA, and which listed one they mean.

Names come with either slash, with or without a trailing " [hash]", as a title, a path relative
to the models folder, a stem or a hash (contracts/forge.md, "Checkpoints").
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["KnownModel", "ModelIndex", "bare_name", "has_lora", "model_key", "resolve"]

_TRAILING_HASH = re.compile(r"\s*\[([0-9a-fA-F]{6,64})\]\s*$")
_HASH = re.compile(r"[0-9a-f]{10,64}")
_EXTENSION = re.compile(r"\.(safetensors|sft|ckpt|pt|pth|bin|gguf)$", re.IGNORECASE)


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


def bare_name(name: str) -> str:
    """Return a model's name without folder and extension: a dot in a name is no extension."""
    return _EXTENSION.sub("", name.replace("\\", "/").rpartition("/")[2])


def has_lora(listed: Collection[str], name: str) -> bool:
    """Tell whether a LoRA is among those listed, which are in lower case; the folder and the
    extension that a name may have mean nothing to the engines."""
    return name.lower() in listed or bare_name(name).lower() in listed


class ModelIndex:
    """Finds the listed model that a name means; made once for many look-ups.

    The full relative path wins over the path without extension, that over a hash, a hash over
    other names, these over a file name, and that over a bare stem.
    """

    def __init__(self, known: Iterable[KnownModel]) -> None:
        self._known = tuple(known)
        self._levels: tuple[dict[str, list[KnownModel]], ...] = tuple(
            defaultdict(list) for _ in range(6)
        )
        for model in self._known:
            for level, forms in zip(self._levels, _forms(model), strict=True):
                for form in forms - {""}:
                    level[form].append(model)
        # A lane looks up the same few hundred names before each job.
        self._kept = lru_cache(maxsize=2048)(self._find)

    def find(self, name: str) -> KnownModel | None:
        """Return the model that a name means, or None; an ambiguous name means none."""
        return self._kept(name)

    def _find(self, name: str) -> KnownModel | None:
        found = self.matches(name)
        exact = [model for model in found if model.name == name]
        if len(exact) == 1:
            return exact[0]  # two files may differ in case only
        same = len(found) == 1 or len({model.sha256 or model for model in found}) == 1
        return found[0] if same else None

    def matches(self, name: str) -> Sequence[KnownModel]:
        """Return all models that a name may mean; those with the same hash are the same file.

        A hash behind the name says which file was meant, also after that was renamed; a file of
        the same name and another hash is another model.
        """
        key, wanted_hash = model_key(name), _hash_behind(name)
        if wanted_hash and (same := self._by_hash(wanted_hash)):
            return [model for model in same if model_key(model.name) == key] or same
        for place, level in enumerate(self._levels):
            found = level.get(key) or (self._by_hash(key) if place == _HASH_LEVEL else ())
            if found:
                return [model for model in found if not _contradicts(model, wanted_hash)]
        return ()

    def _by_hash(self, wanted: str) -> Sequence[KnownModel]:
        if found := self._levels[_HASH_LEVEL].get(wanted):
            return found
        if not _HASH.fullmatch(wanted):
            return ()
        return [model for model in self._known if model.sha256.lower().startswith(wanted)]


_HASH_LEVEL = 2


def _forms(model: KnownModel) -> Iterator[set[str]]:
    path = model_key(model.name)
    bare = _EXTENSION.sub("", path)
    yield {path}
    yield {bare}
    yield {model.short_hash.lower(), model.sha256.lower()}
    yield {model_key(other) for other in model.other_names}
    yield {path.rpartition("/")[2]}
    yield {bare.rpartition("/")[2]}


def _hash_behind(name: str) -> str:
    found = _TRAILING_HASH.search(name)
    return found.group(1).lower() if found else ""


def _contradicts(model: KnownModel, wanted_hash: str) -> bool:
    # Hashes of another length are of another kind (the old 8-digit ones) and prove nothing.
    known = model.short_hash.lower()
    return len(known) == len(wanted_hash) and known != wanted_hash


def resolve(name: str, known: Sequence[KnownModel]) -> KnownModel | None:
    """Return the model that a name means, or None (see `ModelIndex`, for many look-ups)."""
    return ModelIndex(known).find(name)
