"""JSON as the contract wants it: UTF-8, finite numbers, one value a name, bounded everywhere.

Whatever a later step could choke on (a database that refuses NUL, an encoder that refuses lone
surrogates, a recursive walk) is refused here, with a sentence, before anything is written.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import IO, Any, NoReturn
from uuid import UUID

from django.conf import settings
from django.utils.functional import Promise
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from mobilesd.errors import InvalidInput
from mobilesd.http.heavy import heavy_body
from mobilesd.http.times import rfc3339

__all__ = ["MAX_DEPTH", "JSONRenderer", "StrictJSONParser"]

# ComfyUI graphs and script arguments need about ten levels; recursive code stays far from its end.
MAX_DEPTH = 100
# A value of three bytes becomes one of some 60, and Python does nothing else while it reads: 60 MB
# of `[],` would take gigabytes, and stop everybody for a minute. Pictures hold none of these signs.
MAX_SIGNS = 1_000_000
_SUSPICIOUS = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


def _invalid(message: str, hint: str = "Send one JSON object, encoded as UTF-8.") -> InvalidInput:
    return InvalidInput(message, error="invalid_json", hint=hint)


def _refuse_constant(name: str) -> NoReturn:
    raise _invalid(f"{name} is not a JSON number.", "Leave the field out, or send a number.")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _invalid(f"The number {text[:40]} is too large.")
    return value


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise _invalid(
            f"The name {twice[:80]!r} appears twice in one object.",
            "Send each name once; nothing is dropped silently.",
        )
    return values


_decoder = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique_names
)


def _check_tree(root: Any, *, texts: bool) -> None:
    level = [root]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                if texts:
                    below.extend(value)
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
            elif texts and isinstance(value, str):
                _check_text(value)
        if not below:
            return
        level = below
    raise _invalid(f"The JSON is nested deeper than {MAX_DEPTH} levels.")


def _check_text(value: str) -> None:
    if "\x00" in value:
        raise _invalid("A text holds a NUL character.", "Remove \\u0000 from the text.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise _invalid("A text holds half of a surrogate pair (\\ud800..\\udfff).") from None


def decode(raw: bytes) -> Any:
    """Return the value of a JSON document; raise InvalidInput (`invalid_json`)."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _invalid(f"The body is not UTF-8 (byte {error.start}).") from None
    openings = text.count("[") + text.count("{")
    if text.count(",") + openings > MAX_SIGNS:
        raise _invalid(
            f"The body holds more than {MAX_SIGNS:,} commas and brackets.",
            "Send less in one request.",
        )
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise _invalid(
            f"The body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from None
    except RecursionError:
        raise _invalid(f"The JSON is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError:  # Python refuses whole numbers of more than 4300 digits
        raise _invalid("The body holds a number with too many digits.") from None
    texts = _SUSPICIOUS.search(text) is not None
    if texts or openings > MAX_DEPTH:
        _check_tree(value, texts=texts)
    return value


class StrictJSONParser(BaseParser):
    """Read a JSON body of at most `settings.MAX_BODY_BYTES`."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        request = (parser_context or {}).get("request")
        if request is not None:
            _refuse_compressed(request.META.get("HTTP_CONTENT_ENCODING", ""))
        limit: int = settings.MAX_BODY_BYTES
        announced = int(request.META.get("CONTENT_LENGTH") or 0) if request is not None else 0
        if announced > limit:
            raise _too_large(limit)
        heavy_body(request, announced)
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise _too_large(limit)
        heavy_body(request, len(raw))
        return decode(raw)


def _refuse_compressed(encoding: str) -> None:
    # A few kB can unpack to gigabytes; JSON with pictures in it gains nothing from packing.
    if encoding.strip().lower() not in {"", "identity"}:
        raise InvalidInput(
            "The body is compressed, which is not understood.", error="unsupported_media_type"
        )


def _too_large(limit: int) -> InvalidInput:
    return InvalidInput(
        f"The body is larger than {limit // 2**20} MB.",
        error="payload_too_large",
    )


def _to_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, UUID | Promise):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


class JSONRenderer(BaseRenderer):
    """Write compact JSON; indented for people who read it in a browser."""

    media_type = "application/json"
    format = "json"
    charset = None  # JSON is UTF-8 by definition

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if data is None:
            return b""
        # Only the browsable API asks for it.
        indent: int | None = (renderer_context or {}).get("indent")
        return json.dumps(
            data,
            ensure_ascii=False,
            allow_nan=False,
            indent=indent,
            separators=(",", ": " if indent else ":"),
            default=_to_json,
        ).encode("utf-8", "replace")
