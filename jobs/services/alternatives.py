r"""Prompts that stand for several: `a {red|blue} house` is two prompts. Pure.

Alternatives may hold alternatives. `\{`, `\|` and `\}` are the characters themselves; a `|`
outside of braces is one as well. Another backslash is left alone: `\(` has a meaning of its own.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from mobilesd.errors import InvalidInput, bad_field

__all__ = ["Alternatives", "read_alternatives"]

MAX_DEPTH = 20
_SPECIAL = "{|}"


@dataclass(frozen=True)
class Alternatives:
    """One prompt, or one branch of it: texts, and choices between further branches, in order."""

    parts: tuple["str | tuple[Alternatives, ...]", ...]

    @property
    def total(self) -> int:
        """Return for how many prompts it stands, without making any."""
        total = 1
        for part in self.parts:
            if not isinstance(part, str):
                total *= sum(branch.total for branch in part)
        return total

    def each(self) -> Iterator[str]:
        """Yield the prompts; the first choice changes slowest. Equal ones come as often."""
        heads = [
            [part] if isinstance(part, str) else [text for one in part for text in one.each()]
            for part in self.parts
        ]
        for texts in itertools.product(*heads):
            yield "".join(texts)


def read_alternatives(text: str, where: str) -> Alternatives:
    """Read a prompt; raise InvalidInput that says where a brace is missing, or is too many."""
    return _Reading(text, where).whole()


class _Reading:
    """One walk through a prompt."""

    def __init__(self, text: str, where: str) -> None:
        self._text = text
        self._where = where
        self._at = 0

    def whole(self) -> Alternatives:
        found = self._branch(depth=0)
        if self._at < len(self._text):
            raise self._refused("closes a brace that was never opened", self._at)
        return found

    def _branch(self, depth: int) -> Alternatives:
        parts: list[str | tuple[Alternatives, ...]] = []
        text: list[str] = []
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == "}" or (character == "|" and depth):
                break
            if character == "{":
                parts += ["".join(text), self._choice(depth + 1)]
                text = []
                continue
            if character == "\\" and self._text[self._at + 1 : self._at + 2] in tuple(_SPECIAL):
                self._at += 1
                character = self._text[self._at]
            text.append(character)
            self._at += 1
        parts.append("".join(text))
        return Alternatives(tuple(part for part in parts if part))

    def _choice(self, depth: int) -> tuple[Alternatives, ...]:
        opened = self._at
        if depth > MAX_DEPTH:
            raise self._refused(f"is nested more than {MAX_DEPTH} times", opened)
        branches = []
        while True:
            self._at += 1  # the brace, or the bar
            branches.append(self._branch(depth))
            if self._at >= len(self._text):
                raise self._refused("opens a brace that is never closed", opened)
            if self._text[self._at] == "}":
                self._at += 1
                return tuple(branches)

    def _refused(self, what: str, place: int) -> InvalidInput:
        near = self._text[max(0, place - 10) : place + 20]
        return bad_field(
            self._where,
            f"{what}, at character {place + 1}: “{near}”.",
            r"Write \{ and \} for the characters themselves, or switch the alternatives off.",
        )
