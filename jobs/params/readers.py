"""Readers of single values: each returns the value in its canonical type, or refuses it.

Numbers keep their type (7 stays 7, 1.0 stays 1.0), so that what reaches a backend is what came.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from jobs.choices import Kind

__all__ = [
    "Reader",
    "Refused",
    "entries",
    "flag",
    "kind",
    "loras",
    "mapping",
    "name",
    "names",
    "number",
    "picture",
    "pictures",
    "prompt",
    "scripts",
    "seed",
    "size",
    "whole",
]

# What parameters can say; plain texts, as they stand in documents too.
KINDS = tuple(kind.value for kind in (Kind.TXT2IMG, Kind.IMG2IMG, Kind.UPSCALE))
MAX_PROMPT_BYTES = 64 * 1024
MAX_NAME = 500  # as wide as the columns that hold names
MAX_PICTURES = 64
_EXACT_FLOAT = 2**53  # above, a float has lost its last digits
_NUMERAL = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")


class Refused(ValueError):
    """A value that can't be taken; the text goes on after the field's name."""


Reader = Callable[[Any], Any]


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"“{value[:40]}…”" if len(value) > 40 else f"“{value}”"
    return str(value)


def _as_number(value: object, wanted: str) -> int | float:
    if isinstance(value, str) and _NUMERAL.fullmatch(value):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(f"must be {wanted}, but is {_shown(value)}.")
    return value


def whole(low: int, high: int, *, also: tuple[int, ...] = (), step: int = 1) -> Reader:
    """Return a reader of whole numbers in low..high (or one of `also`), in steps."""
    wanted = f"a whole number from {low} to {high}"
    if also:
        wanted = f"{' or '.join(map(str, also))}, or {wanted}"

    def read(value: object) -> int:
        number = _as_number(value, wanted)
        if isinstance(number, float):
            if not number.is_integer() or abs(number) > _EXACT_FLOAT:
                raise Refused(f"must be {wanted}, but is {number}.")
            number = int(number)
        if number not in also and not low <= number <= high:
            raise Refused(f"must be {wanted}, but is {number}.")
        if number not in also and number % step:
            below = number // step * step
            raise Refused(
                f"must be a multiple of {step}, but is {number}. Use {below} or {below + step}."
            )
        return number

    return read


def size(*, also: tuple[int, ...] = ()) -> Reader:
    """Return a reader of an edge length in pixels."""
    return whole(64, 8192, also=also, step=8)


seed = whole(-1, 2**64 - 1)


def number(low: float, high: float) -> Reader:
    """Return a reader of numbers in low..high that keeps integers integers."""
    wanted = f"a number from {low:g} to {high:g}"

    def read(value: object) -> int | float:
        found = _as_number(value, wanted)
        if not low <= found <= high:
            raise Refused(f"must be {wanted}, but is {found}.")
        return found

    return read


def flag(value: object) -> bool:
    """Read true or false, also as 1, 0, "true" or "false"."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise Refused(f"must be true or false, but is {_shown(value)}.")


def kind(value: object) -> str:
    """Read what is to be done."""
    if isinstance(value, str) and value.lower() in KINDS:
        return value.lower()
    words = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
    raise Refused(f"must be {words}, but is {_shown(value)}.")


def prompt(value: object) -> str:
    """Read a prompt of at most 64 kB of UTF-8."""
    if not isinstance(value, str):
        raise Refused(f"must be text, but is {_shown(value)}.")
    length = len(value.encode())
    if length > MAX_PROMPT_BYTES:
        raise Refused(f"may have 64 kB, but has {-(-length // 1024)} kB. Shorten it.")
    return value


def name(value: object) -> str:
    """Read the name of something: a model, a sampler, a script."""
    if not isinstance(value, str):
        raise Refused(f"must be a name, but is {_shown(value)}.")
    if len(value) > MAX_NAME:
        raise Refused(f"may have {MAX_NAME} characters, but has {len(value)}.")
    return value


def names(value: object) -> list[str]:
    """Read a list of names."""
    return [name(entry) for entry in entries(value)]


def entries(value: object) -> list[Any]:
    """Read a list of anything."""
    if not isinstance(value, list):
        raise Refused(f"must be a list, but is {_shown(value)}.")
    return value


def mapping(value: object) -> dict[str, Any]:
    """Read an object of anything."""
    if not isinstance(value, Mapping):
        raise Refused(f"must be an object, but is {_shown(value)}.")
    return dict(value)


def scripts(value: object) -> dict[str, Any]:
    """Read scripts by name, each an object that holds its arguments; names in any case."""
    found = mapping(value)
    for title, settings in found.items():
        if not isinstance(settings, Mapping):
            raise Refused(
                f'must hold an object for each script, such as {{"args": []}},'
                f" but {_shown(title)} is {_shown(settings)}."
            )
    return found


def picture(value: object) -> Any:
    """Read what may name a picture; `jobs.inputs` looks at the picture itself."""
    if isinstance(value, str | Mapping) and value:
        return value
    raise Refused(
        'must be a picture: base64, a data: URL, {"image_id": …} or {"job": …, "image": n},'
        f" but is {_shown(value)}."
    )


def pictures(value: object) -> list[Any]:
    """Read a list of pictures that is not empty."""
    found = [picture(entry) for entry in entries(value)]
    if not found:
        raise Refused("is empty. Add a picture, or leave it out for txt2img.")
    if len(found) > MAX_PICTURES:
        raise Refused(f"may have {MAX_PICTURES} pictures, but has {len(found)}.")
    return found


_weight = number(-10, 10)


def loras(value: object) -> list[dict[str, Any]]:
    """Read `[{name, weight, hash}]`; other names in an entry are kept."""
    return [_lora(entry, place) for place, entry in enumerate(entries(value), 1)]


def _lora(value: object, place: int) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Refused(f'must hold objects such as {{"name": …}}, but entry {place} is none.')
    found = {key: inner for key, inner in value.items() if inner is not None}
    readers: dict[str, Reader] = {"name": name, "weight": _weight, "hash": name}
    for key, read in readers.items():
        if key in found:
            try:
                found[key] = read(found[key])
            except Refused as error:
                raise Refused(f"has a wrong entry {place}: its {key} {error}") from error
    title = found.get("name", "")
    if not title or set("<>:") & set(title):
        raise Refused(f"has a wrong entry {place}: its name must be a name without <, > and :.")
    return found
