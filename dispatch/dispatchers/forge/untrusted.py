"""What a server sends, made safe to work with and to store.

A server may be anything that listens at an address: its JSON may nest without end, hold NaN,
numbers without end, or characters that no database takes.
"""

import json
import math
from typing import Any

__all__ = ["parse", "storable", "text"]

_DEEPEST = 6
_LARGEST = 2**64


def parse(content: bytes | str) -> Any:
    """Return the value of some JSON, NaN and infinities as None; raises ValueError."""
    try:
        return json.loads(content, parse_constant=_nothing, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _nothing(_: str) -> None:
    return None


def _finite(digits: str) -> float | None:
    number = float(digits)  # "1e999" is infinite
    return number if math.isfinite(number) else None


def text(value: object, longest: int | None = None) -> str:
    """Return text without NUL and halves of characters, which no database takes."""
    cleaned = str(value).encode("utf-8", "replace").decode().replace("\0", "")
    return cleaned if longest is None else cleaned[:longest]


def storable(value: Any, depth: int = _DEEPEST) -> Any:
    """Return parsed JSON without what can't be stored: that becomes None."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return None
    if isinstance(value, list):
        return [storable(item, depth - 1) for item in value] if depth else None
    if isinstance(value, dict):
        items = value.items() if depth else ()
        return {text(key): storable(item, depth - 1) for key, item in items}
    return value
