"""Bytes inside strings: base64 and data: URLs, taken apart so that they go back exactly."""

import base64
import binascii
import re
from dataclasses import dataclass

__all__ = ["Encoded", "decode", "encode"]

_EXACT_MIME = re.compile(r"[a-z0-9.+-]{1,31}/[a-z0-9.+-]{1,31}")
_MAX_HEAD = 256


@dataclass(frozen=True)
class Encoded:
    """What a string holds.

    `form` says how `encode` makes the very same string again of `stored`: as base64, as a
    data: URL of `mime`, or as text, for what a decoder would forgive but an encoder not repeat
    (line breaks, missing padding). `content` is what was encoded, `stored` what has to be kept.
    """

    form: str
    mime: str
    content: bytes
    stored: bytes
    is_data_url: bool
    is_exact: bool


def decode(value: str) -> Encoded | None:
    """Take a string apart; None if it is neither base64 nor a base64 data: URL."""
    head, body = _split(value)
    if head is not None and not head.lower().endswith(";base64"):
        return None
    content = _exact(body)
    is_exact = content is not None
    if content is None:
        content = _forgiving(body)
    if not content:
        return None
    mime = "" if head is None else head[5:].partition(";")[0].strip().lower()
    if head is not None:
        is_exact &= head == f"data:{mime};base64" and bool(_EXACT_MIME.fullmatch(mime))
    form = "base64" if head is None else "data-url"
    return Encoded(
        form=form if is_exact else "text",
        mime=mime,
        content=content,
        stored=content if is_exact else value.encode(),
        is_data_url=head is not None,
        is_exact=is_exact,
    )


def encode(form: str, mime: str, stored: bytes) -> str:
    """Return the string that `decode` took apart, byte for byte."""
    if form == "text":
        return stored.decode()
    body = binascii.b2a_base64(stored, newline=False).decode("ascii")
    return f"data:{mime};base64,{body}" if form == "data-url" else body


def _split(value: str) -> tuple[str | None, str]:
    if value[:5].lower() != "data:":
        return None, value
    comma = value.find(",", 0, _MAX_HEAD)
    return (None, value) if comma < 0 else (value[:comma], value[comma + 1 :])


def _exact(body: str) -> bytes | None:
    """Decode base64 of the form that encoding would give again, or return None."""
    if len(body) % 4:
        return None
    try:
        content = binascii.a2b_base64(body, strict_mode=True)
        # The last letter before padding has bits that decode to nothing: they must be zero.
        tail = binascii.b2a_base64(binascii.a2b_base64(body[-4:]), newline=False)
    except ValueError:  # binascii.Error is one, and so is what it says of other than ASCII
        return None
    return content if tail == body[-4:].encode("ascii") else None


def _forgiving(body: str) -> bytes | None:
    compact = "".join(body.split())
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except ValueError:
        return None
