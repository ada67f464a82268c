"""What an infotext says, before anybody decides what of it can be used."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from jobs.infotext.scan import read_pairs

__all__ = ["ControlNetUnit", "Infotext", "Lora"]

# The tag ends at the next bracket of either kind, or a prompt full of "<lora:" would be read
# again and again to its end.
_TAG = re.compile(r"<(?:lora|lyco):([^<>]*)>", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d{1,6}(?:\.\d{1,9})?")
_UNIT = re.compile(r"controlnet(?: (\d{1,3}))?", re.IGNORECASE)


@dataclass(frozen=True)
class Lora:
    """A LoRA that a prompt's tag names, or only "Lora hashes".

    `weight` is None where the tag has none that is a plain number; `hash` is "" where the text
    does not tell it.
    """

    name: str
    weight: float | None
    hash: str = ""
    in_prompt: bool = True


@dataclass(frozen=True)
class ControlNetUnit:
    """The settings of one ControlNet unit, in order; its picture is never in an infotext."""

    index: int
    settings: tuple[tuple[str, str], ...]

    def get(self, name: str, default: str = "") -> str:
        """Return a setting ("Module", "Model", "Weight", …), whatever its case."""
        wanted = name.casefold()
        return next((value for key, value in self.settings if key.casefold() == wanted), default)


@dataclass(frozen=True)
class Infotext:
    """Prompts and fields, unquoted and in order; `notes` is what stands behind the fields.

    A field whose name and value are the same was written as a bare word.
    """

    prompt: str = ""
    negative_prompt: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    notes: str = ""

    def get(self, name: str, default: str = "") -> str:
        """Return a field's value, whatever the case of its name; of several the last."""
        wanted = name.casefold()
        found = [value for key, value in self.fields if key.casefold() == wanted]
        return found[-1] if found else default

    @property
    def loras(self) -> tuple[Lora, ...]:
        """Return the LoRAs of the prompts' tags in order, then those that only have a hash."""
        hashes = dict(_pairs(self.get("Lora hashes")))
        tags = [
            match.group(1).split(":")
            for text in (self.prompt, self.get("Hires prompt"))
            for match in _TAG.finditer(text)
        ]
        tagged = dict.fromkeys(
            Lora(name.strip(), _weight(rest), hashes.get(_bare(name), ""))
            for name, *rest in tags
            if name.strip()
        )
        named = {_bare(lora.name) for lora in tagged}
        rest = (Lora(name, None, hashes[name], False) for name in hashes if name not in named)
        return (*tagged, *rest)

    @property
    def controlnet_units(self) -> tuple[ControlNetUnit, ...]:
        """Return the fields "ControlNet 0", "ControlNet 1" and so on, read."""
        found = ((_UNIT.fullmatch(name), value) for name, value in self.fields)
        return tuple(
            ControlNetUnit(int(match.group(1) or 0), tuple(read_pairs(value)))
            for match, value in found
            if match is not None
        )


def _bare(name: str) -> str:
    """Return a name as "Lora hashes" has it: its writers leave out commas and colons."""
    return name.strip().replace(",", "").replace(":", "")


def _weight(arguments: list[str]) -> float | None:
    """Return the first argument of a tag; without one the weight is 1."""
    if not arguments:
        return 1.0
    first = arguments[0].strip()
    return float(first) if _NUMBER.fullmatch(first) else None


def _pairs(hashes: str) -> Iterator[tuple[str, str]]:
    for part in hashes.split(","):
        name, colon, value = part.rpartition(":")
        if colon and name.strip():
            yield name.strip(), value.strip()
