"""The line of fields ("Steps: 20, Sampler: Euler a, …"), piece by piece.

The format is that of AUTOMATIC1111's `infotext_utils`, which all web UIs took over: values with a
comma, a colon or a line break are JSON texts. Read in one pass, because a regular expression over
the whole line takes quadratic time on hostile text.
"""

import json
import re
from collections.abc import Iterator

__all__ = ["is_json", "read_pairs"]

_STOP = re.compile(r"[,:]")
_BLANKS = re.compile(r"\s*")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_NAME = re.compile(r'\w[^,:"<>{}\[\]\n]{0,99}')
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
# Each try may read to the end of the line; a real text has two or three such values.
_MAX_JSON_FAILURES = 20

_json = json.JSONDecoder(strict=False)


def read_pairs(line: str) -> Iterator[tuple[str, str]]:
    """Yield names and unquoted values, in order; a bare word is its own value."""
    at = failures = 0
    while at < len(line):
        stop = _STOP.search(line, at)
        end = stop.start() if stop else len(line)
        name = line[at:end].strip()
        if stop is None or stop.group() == "," or not _NAME.fullmatch(name):
            word, at = _plain(line, at)
            if word:
                yield word, word
            continue
        start = _after_blanks(line, stop.end())
        found = _quoted(line, start)
        if (
            found is None
            and line[start : start + 1] in ("{", "[")
            and failures < _MAX_JSON_FAILURES
        ):
            found = _bare_json(line, start)
            failures += found is None
        value, at = found or _plain(line, start)
        yield name, value


def is_json(value: str) -> bool:
    """Tell whether a value is a JSON object or array that can stand in the line as it is."""
    return "\n" not in value and _bare_json(value, 0) == (value, len(value) + 1)


def _after_blanks(line: str, at: int) -> int:
    match = _BLANKS.match(line, at)
    return match.end() if match else at


def _plain(line: str, at: int) -> tuple[str, int]:
    """Return the text up to the next comma, and where the next piece begins."""
    comma = line.find(",", at)
    end = len(line) if comma < 0 else comma
    return line[at:end].strip(), end + 1


def _ends_piece(line: str, at: int) -> int | None:
    """Return where the next piece begins, if nothing but blanks is left of this one."""
    end = _after_blanks(line, at)
    return end + 1 if line[end : end + 1] in ("", ",") else None


def _quoted(line: str, at: int) -> tuple[str, int] | None:
    match = _QUOTED.match(line, at)
    after = _ends_piece(line, match.end()) if match else None
    if match is None or after is None:
        return None
    try:
        value = str(_json.decode(match.group()))
    except ValueError:  # not escaped, as in "C:\models": kept as it is
        return match.group(), after
    # "\ud800" and "\u0000" are JSON, but no text that could be stored.
    return (match.group() if _UNSTORABLE.search(value) else value), after


def _bare_json(line: str, at: int) -> tuple[str, int] | None:
    """Return a JSON object or array: "Hashes" and "Civitai resources" are written unquoted."""
    if line[at : at + 1] not in ("{", "["):
        return None
    try:
        end = _json.raw_decode(line, at)[1]
    except (ValueError, RecursionError):
        return None
    after = _ends_piece(line, end)
    return None if after is None else (line[at:end], after)
