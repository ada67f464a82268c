"""One list out of what several servers list, server by server, in their own order."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from models_catalog.resolve import KnownModel, model_key

__all__ = ["Entry", "ModelEntry", "merge_models", "merge_names"]


@dataclass
class Entry:
    """One thing that servers have, in the spelling of the first of them."""

    name: str
    servers: list[str] = field(default_factory=list)

    def add(self, alias: str) -> None:
        if alias not in self.servers[-1:]:
            self.servers.append(alias)

    def emit(self) -> dict[str, Any]:
        """Return the entry as the API shows it."""
        return {"name": self.name, "servers": self.servers}


@dataclass
class ModelEntry(Entry):
    """One model; its hashes are known once a server has loaded it."""

    short_hash: str = ""
    sha256: str = ""

    def learn(self, model: KnownModel) -> None:
        self.short_hash = self.short_hash or model.short_hash
        self.sha256 = self.sha256 or model.sha256

    def emit(self) -> dict[str, Any]:
        return super().emit() | {"hash": self.short_hash or None, "sha256": self.sha256 or None}


def merge_names(lists: Iterable[tuple[str, Iterable[str]]]) -> list[Entry]:
    """Return the union of names by alias; those that differ in slashes or case only are one."""
    by_name: dict[str, Entry] = {}
    by_key: dict[str, Entry] = {}
    for alias, names in lists:
        for name in names:
            entry = by_name.get(name)
            if entry is None:  # only then pay for the key: servers mostly list the same names
                entry = by_name[name] = by_key.setdefault(model_key(name), Entry(name))
            entry.add(alias)
    return list(by_key.values())


def merge_models(lists: Iterable[tuple[str, Iterable[KnownModel]]]) -> list[ModelEntry]:
    """Return the union of models by alias.

    Names that differ in slashes, case or a hash behind them are one entry, unless their hashes
    tell that the files differ.
    """
    by_key: dict[str, list[ModelEntry]] = {}
    merged: list[ModelEntry] = []
    for alias, models in lists:
        for model in models:
            same_name = by_key.setdefault(model_key(model.name), [])
            entry = next((entry for entry in same_name if _may_be_same(entry, model)), None)
            if entry is None:
                entry = ModelEntry(model.name)
                same_name.append(entry)
                merged.append(entry)
            entry.learn(model)
            entry.add(alias)
    return merged


def _may_be_same(entry: ModelEntry, model: KnownModel) -> bool:
    if entry.sha256 and model.sha256:
        return entry.sha256 == model.sha256
    # Short hashes of different length are of different kinds, and prove nothing.
    ours, theirs = entry.short_hash, model.short_hash
    return not ours or len(ours) != len(theirs) or ours == theirs
