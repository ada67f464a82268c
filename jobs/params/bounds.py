"""What any JSON must keep to before it is looked at: sizes, and values that can be stored."""

import math
from collections.abc import Mapping
from typing import Any

from mobilesd.errors import InvalidInput

__all__ = ["MAX_DEPTH", "MAX_ITEMS", "MAX_KEYS", "check"]

MAX_DEPTH = 32
MAX_KEYS = 2_000
MAX_ITEMS = 100_000
_LARGEST = 2**64 - 1


def check(value: Mapping[str, Any], where: str) -> None:
    """Walk nested JSON once, without recursion; raise InvalidInput at the first bad value."""
    keys = items = 0
    waiting: list[tuple[object, str, int]] = [(value, where, 1)]
    while waiting:
        current, path, depth = waiting.pop()
        if isinstance(current, Mapping | list):
            if depth > MAX_DEPTH:
                raise _refused(where, f"is nested more than {MAX_DEPTH} levels deep.")
            if isinstance(current, list):
                items += len(current)
                waiting += [(v, f"{path}.{i}", depth + 1) for i, v in enumerate(current)]
            else:
                keys += len(current)
                for key, inner in current.items():
                    _check_key(key, path)
                    waiting.append((inner, f"{path}.{key}", depth + 1))
            if keys > MAX_KEYS:
                raise _refused(where, f"has more than {MAX_KEYS:,} names in all.")
            if items > MAX_ITEMS:
                raise _refused(where, f"has more than {MAX_ITEMS:,} list entries in all.")
        elif sentence := _wrong(current):
            raise _refused(path, sentence)


def _check_key(key: object, path: str) -> None:
    if not isinstance(key, str):
        raise _refused(path, "has a name that is no text.")
    if _unstorable(key):
        raise _refused(path, "has a name with characters that can't be stored.")


def _wrong(value: object) -> str:
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, str):
        return _unstorable(value)
    if isinstance(value, int):
        return "is larger than 2^64 − 1." if abs(value) > _LARGEST else ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else "must be a finite number, not NaN or Infinity."
    return "is no JSON value."


def _unstorable(text: str) -> str:
    """Say why neither UTF-8 nor PostgreSQL could hold this text, or nothing."""
    if "\0" in text:
        return "holds a NUL character. Remove it."
    if text.isascii():
        return ""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half of a character (a lone surrogate). Send whole Unicode characters."
    return ""


def _refused(path: str, sentence: str) -> InvalidInput:
    shown = path if len(path) <= 200 else f"{path[:200]}…"
    shown = shown.encode(errors="replace").decode().replace("\0", "?")
    message = f"{shown} {sentence}"
    return InvalidInput(
        message,
        fields={shown: [message]},
        hint="Correct this value and send the order again.",
    )
