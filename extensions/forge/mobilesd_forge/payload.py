"""JSON of whatever Forge's page hands over: enums, pictures, arrays, dataclasses.

What has no JSON form is refused with a sentence that names the place, never guessed at: a job
that runs with other values than the page showed would be worse than none.
"""

import dataclasses
import enum
import math
import os
from collections.abc import Mapping
from typing import Any

from PIL import Image

from mobilesd_forge import images

__all__ = ["MAX_BYTES", "CannotQueue", "check_size", "jsonable"]

# As MobileSD refuses it, so that the page says so at once and not the queue later.
MAX_DEPTH = 24
MAX_ITEMS = 100_000
MAX_BYTES = 64 * 1024 * 1024
_LARGEST = 2**64 - 1
# An array that is no picture is a list of settings; a long one is data, such as a latent.
_MAX_ARRAY = 4096


class CannotQueue(ValueError):
    """Why this page's settings can't be queued, as a sentence for the page."""


def jsonable(value: Any, where: str) -> Any:
    """Return a value as JSON types alone.

    Pictures and 8-bit arrays become base64 PNG, enums their value, tuples and sets lists. Raises
    CannotQueue for the rest: NaN, bytes, objects of unknown kind, structures that hold themselves.
    """
    return _Making().value(value, where, 1)


def check_size(pictures: Any) -> None:
    """Raise CannotQueue for JSON with more text than MobileSD takes in one request."""
    total = _length(pictures)
    if total > MAX_BYTES:
        raise CannotQueue(
            f"The pictures of this job make {total // 2**20} MB. MobileSD takes"
            f" {MAX_BYTES // 2**20} MB: use smaller ones."
        )


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) + _length(inner) for key, inner in value.items())
    if isinstance(value, list):
        return sum(map(_length, value))
    return 1


class _Making:
    """One walk through a value; knows what it is inside of, and how much it has seen."""

    def __init__(self) -> None:
        self._inside: set[int] = set()
        self._items = 0

    def value(self, value: Any, where: str, depth: int) -> Any:
        if isinstance(value, enum.Enum):  # before str and int, which it may be as well
            return self.value(value.value, where, depth)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return _text(value, where)
        if isinstance(value, int):
            return _whole(value, where)
        if isinstance(value, float):
            return _real(value, where)
        if isinstance(value, Image.Image):
            return images.png(value)
        if isinstance(value, os.PathLike):
            return self.value(os.fspath(value), where, depth)
        if hasattr(value, "__array_interface__"):
            return self._array(value, where, depth)
        return self._structure(value, where, depth)

    def _array(self, value: Any, where: str, depth: int) -> Any:
        if not value.shape:  # a single number of numpy's
            return self.value(value.item(), where, depth)
        if images.is_picture(value):
            return images.png(images.from_array(value))
        if value.size > _MAX_ARRAY:
            raise CannotQueue(
                f"{where} holds an array of {value.size:,} numbers: that is too long."
            )
        return self.value(value.tolist(), where, depth)

    def _structure(self, value: Any, where: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise CannotQueue(f"{where} is nested more than {MAX_DEPTH} levels deep.")
        if id(value) in self._inside:
            raise CannotQueue(f"{where} holds itself, which JSON can't say.")
        self._inside.add(id(value))
        try:
            if isinstance(value, Mapping):
                return self._mapping(value, where, depth)
            if isinstance(value, (list, tuple)):
                return self._list(value, where, depth)
            if isinstance(value, (set, frozenset)):
                return self._list(sorted(value, key=repr), where, depth)
            return self._mapping(_fields(value, where), where, depth)
        finally:
            self._inside.discard(id(value))

    def _list(self, value: Any, where: str, depth: int) -> list[Any]:
        self._count(len(value), where)
        return [self.value(inner, where, depth + 1) for inner in value]

    def _mapping(self, value: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
        self._count(len(value), where)
        made = {}
        for key, inner in value.items():
            name = _key(key, where)
            if name in made:
                raise CannotQueue(f"{where} has two entries that would both be called {name}.")
            made[name] = self.value(inner, f"{where}, {name[:60]}", depth + 1)
        return made

    def _count(self, items: int, where: str) -> None:
        self._items += items
        if self._items > MAX_ITEMS:
            raise CannotQueue(f"{where} has more than {MAX_ITEMS:,} entries.")


def _key(key: Any, where: str) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if isinstance(key, bool) or not isinstance(key, (str, int)):
        raise CannotQueue(f"{where} has an entry whose name is neither text nor a number.")
    return _text(str(key), where)


def _text(value: str, where: str) -> str:
    if "\0" in value:
        raise CannotQueue(f"{where} holds a NUL character. Remove it.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise CannotQueue(f"{where} holds half of a character (a lone surrogate).") from None
    return str(value)


def _whole(value: int, where: str) -> int:
    if abs(value) > _LARGEST:
        raise CannotQueue(f"{where} is a number larger than 2^64.")
    return int(value)


def _real(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise CannotQueue(f"{where} is no finite number, but {value}.")
    return float(value)


def _fields(value: Any, where: str) -> Mapping[Any, Any]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    item = getattr(value, "item", None)
    if callable(item) and hasattr(value, "dtype"):
        raise CannotQueue(f"{where} holds a tensor, which has no JSON form.")
    kind = type(value).__name__
    raise CannotQueue(f"{where} holds a value of the kind {kind}, which has no JSON form.")
