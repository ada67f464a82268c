"""Failures on request: what goes wrong, where, and how often."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

GENERATION_PATHS = ("/sdapi/v1/txt2img", "/sdapi/v1/img2img", "/sdapi/v1/extra-single-image")
_EVERYTHING = ("/sdapi/*", "/internal/*")

# Where each kind strikes. CONNECTION: at accept, before a byte is read. ANSWER: around the
# route. RUN: inside a generation, when its turn has come (for other routes: at once).
CONNECTION = frozenset({"refuse"})
ANSWER = frozenset(
    {
        "drop_after",
        "drop_before",
        "garbage_json",
        "half_closed",
        "html",
        "huge_answer",
        "not_ready",
        "slow",
    }
)
RUN = frozenset(
    {
        "black_image",
        "broken_checkpoint",
        "foreign_interrupt",
        "http_500",
        "no_images",
        "oom",
        "poison",
        "stall",
        "wrong_checkpoint",
    }
)
KINDS = CONNECTION | ANSWER | RUN
_PATH_FREE = CONNECTION | {"not_ready"}


class BadFault(ValueError):
    """A fault that cannot be set; the text says what is wrong and what is possible."""


@dataclass
class Fault:
    """One failure. It strikes `times` times, or for `for_seconds` seconds, then it is gone.

    `seconds` is how long `slow` and `stall` take; `after_steps` when `oom`, `http_500`,
    `stall` and `foreign_interrupt` strike (default: before the first step, in the middle for
    the last two); `size` the bytes of `huge_answer`; `declare_size` sends them as
    Content-Length; `skip` lets so many pass first. With `over_pixels` an `oom` strikes only
    where a batch has more pixels; Forge's script against it makes room for `relief` times more.
    """

    kind: str
    times: int | None = None
    path: tuple[str, ...] = ()
    seconds: float = 5.0
    for_seconds: float | None = None
    after_steps: int | None = None
    checkpoint: str | None = None
    message: str | None = None
    size: int = 10 * 1024**3
    declare_size: bool = False
    skip: int = 0
    over_pixels: int | None = None
    relief: float = 1.0
    set_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if self.times is None and self.for_seconds is None:
            self.times = 1
        if not self.path:
            self.path = _EVERYTHING if self.kind in _PATH_FREE else GENERATION_PATHS

    @property
    def expired(self) -> bool:
        late = self.for_seconds is not None and time.monotonic() > self.set_at + self.for_seconds
        return late or self.times == 0

    def matches(self, path: str | None) -> bool:
        return path is None or any(fnmatchcase(path, pattern) for pattern in self.path)

    def is_too_large(self, pixels: tuple[int, bool] | None) -> bool:
        if self.over_pixels is None or pixels is None:
            return True
        count, relieved = pixels
        return count > self.over_pixels * (self.relief if relieved else 1.0)

    def strikes_at(self, steps: int) -> int:
        """Return how many of a pass's `steps` are done when this fault strikes."""
        wanted = self.after_steps
        if wanted is None:
            wanted = 0 if self.kind in ("http_500", "oom") else steps // 2
        return max(0, min(wanted, steps - 1))

    def as_json(self) -> dict[str, Any]:
        shown = {item.name: getattr(self, item.name) for item in fields(self)}
        del shown["set_at"]
        return {**shown, "path": list(self.path)}


_NUMBERS: dict[str, tuple[Any, float]] = {
    "times": (int, 1),
    "skip": (int, 0),
    "after_steps": (int, 0),
    "size": (int, 1),
    "over_pixels": (int, 0),
    "relief": ((int, float), 0),
    "seconds": ((int, float), 0),
    "for_seconds": ((int, float), 0),
}


def read_fault(body: Any) -> Fault:
    """Make a Fault of a POSTed JSON body; raise BadFault for anything unclear."""
    if not isinstance(body, dict):
        raise BadFault('Send a JSON object such as {"kind": "http_500", "times": 2}.')
    values = dict(body)
    if "routes" in values:
        values["path"] = values.pop("routes")
    kind = values.get("kind")
    if kind not in KINDS:
        raise BadFault(f"No fault is called {kind!r}. Use one of: {', '.join(sorted(KINDS))}.")
    paths = values.pop("path", [])
    paths = [paths] if isinstance(paths, str) else paths
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise BadFault("`path` is a path or a list of paths, * allowed.")
    known = {item.name for item in fields(Fault)} - {"set_at", "path"}
    unknown = sorted(set(values) - known)
    if unknown:
        raise BadFault(f"Unknown fields: {', '.join(unknown)}. Known: {', '.join(sorted(known))}.")
    for name, (types, least) in _NUMBERS.items():
        value = values.get(name)
        if value is None:
            values.pop(name, None)
        elif isinstance(value, bool) or not isinstance(value, types):
            raise BadFault(f"`{name}` is a number of at least {least}, not {value!r}.")
        elif float(value) < least:
            raise BadFault(f"`{name}` is at least {least}, not {value!r}.")
    return Fault(path=tuple(paths), **values)


class Faults:
    """The failures still to come, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, kind: str, **values: Any) -> Fault:
        """Set a fault, as POST /_fake/faults does. Raise BadFault."""
        fault = read_fault({"kind": kind, **values})
        self.put(fault)
        return fault

    def put(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def as_json(self) -> list[dict[str, Any]]:
        with self._lock:
            self._drop_expired()
            return [fault.as_json() for fault in self._faults]

    def take(
        self,
        kinds: Collection[str],
        path: str | None = None,
        checkpoint: str | None = None,
        pixels: tuple[int, bool] | None = None,
    ) -> Fault | None:
        """Use up one strike of the oldest fault that fits, and return it.

        `pixels`: of a batch, and whether it is made with less memory.
        """
        if not self._faults:
            return None
        with self._lock:
            self._drop_expired()
            for fault in self._faults:
                if fault.kind not in kinds or not fault.matches(path):
                    continue
                if None not in (checkpoint, fault.checkpoint) and checkpoint != fault.checkpoint:
                    continue
                if not fault.is_too_large(pixels):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    def _drop_expired(self) -> None:
        self._faults = [fault for fault in self._faults if not fault.expired]
