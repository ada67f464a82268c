"""Reading an infotext: whatever it is, what can be read of it is."""

import re

from jobs.infotext.scan import read_pairs
from jobs.infotext.structure import Infotext

__all__ = ["MAX_BYTES", "NEGATIVE", "parse"]

MAX_BYTES = 256 * 1024
NEGATIVE = "Negative prompt:"

# What a line of fields begins with where it has no "Steps".
_MARKS = {"sampler", "schedule type", "cfg scale", "seed", "size", "model", "model hash", "version"}
_STEPS = re.compile(r"\s*Steps:\s*-?\d+\s*(?:,|$)")
_START = re.compile(r"\A[\s\ufeff]+")  # with a byte order mark
_ENOUGH = 3  # pairs that make a line the fields; fewer could be a part of a prompt


def parse(text: str) -> Infotext:
    """Return what an infotext says; text without fields is all prompt.

    The fields are the last line that looks like them, so a prompt may hold "Steps: " and, but at
    the beginning of a line, "Negative prompt:". Raises ValueError only for more than MAX_BYTES
    of UTF-8.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise ValueError(f"may have {MAX_BYTES // 1024} kB, but has {-(-size // 1024)} kB")
    text = _START.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    lines = text.rstrip().split("\n")
    place = _place_of_fields(lines)
    prompts, behind = (lines, []) if place is None else (lines[:place], lines[place + 1 :])
    prompt, negative = _split_prompts(prompts)
    return Infotext(
        prompt=prompt,
        negative_prompt=negative,
        fields=() if place is None else tuple(read_pairs(lines[place])),
        notes="\n".join(behind).strip(),
    )


def _place_of_fields(lines: list[str]) -> int | None:
    """Return the number of the line of fields: the last, unless somebody wrote notes behind it."""
    last = len(lines) - 1
    if _is_fields(lines[last]):
        return last
    for place in range(last, -1, -1):
        if _is_negative(lines[place]):
            return None  # the fields never stand before it
        if _STEPS.match(lines[place]) and _is_fields(lines[place], at_least=_ENOUGH):
            return place
    return None


def _is_fields(line: str, at_least: int = 1) -> bool:
    begins_right = _STEPS.match(line) is not None
    pairs = list(read_pairs(line)) if begins_right or ":" in line else []
    named = sum(name != value for name, value in pairs)
    if begins_right:
        return named >= at_least
    # Prompts have colons too: "(best quality:1.2), (sharp:1.1)", "style: a, place: b, time: c".
    return named >= _ENOUGH and pairs[0][0].casefold() in _MARKS


def _is_negative(line: str) -> bool:
    return line.lstrip().startswith(NEGATIVE)


def _split_prompts(lines: list[str]) -> tuple[str, str]:
    place = next((n for n, line in enumerate(lines) if _is_negative(line)), len(lines))
    negative = "\n".join(lines[place:]).lstrip().removeprefix(NEGATIVE)
    return "\n".join(lines[:place]).strip(), negative.strip()
