"""Forge's options, with the way in which overrides leak."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from dispatch.fakes.forge.errors import PythonError
from dispatch.fakes.forge.recorded import recorded

# Only options that are in config.json are restored after a job. On a fresh install these
# few are there; any other override stays set for all later jobs (recordings options/leak-*).
_IN_CONFIG = (
    "sd_model_checkpoint",
    "sd_checkpoint_hash",
    "CLIP_stop_at_last_layers",
    "samples_format",
    "forge_additional_modules",
    "forge_preset",
)


class Options:
    """Defaults, and the values that were ever set."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._defaults: dict[str, Any] = recorded("options")
        self._lock = threading.Lock()
        self._set: dict[str, Any] = {name: self._defaults[name] for name in _IN_CONFIG}
        self.update(values)

    def __getitem__(self, name: str) -> Any:
        return self._set[name] if name in self._set else self._defaults[name]

    def everything(self) -> dict[str, Any]:
        """Return the body of GET /options, in the recorded order."""
        with self._lock:
            return {name: self[name] for name in self._defaults}

    def update(self, values: dict[str, Any]) -> None:
        """Set options one by one; raise KeyError's answer at the first unknown name.

        Types are not looked at: Forge stores "two" as a clip skip (options/post-wrong-type).
        """
        for name, value in values.items():
            if name not in self._defaults:
                raise PythonError("KeyError", repr(name))
            with self._lock:
                self._set[name] = value

    def restorable(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the values that a job's end puts back: only of options in config.json."""
        with self._lock:
            return {name: self._set[name] for name in names if name in self._set}
