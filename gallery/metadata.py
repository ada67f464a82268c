"""The texts in a PNG file, read without unpacking the picture.

Pillow is not used here: it keeps up to 64 MB of texts in memory, and reads those behind the
picture only by unpacking it.
"""

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

__all__ = ["Texts", "png_texts", "texts_in"]

MAX_TEXT = 256 * 1024
MAX_TEXTS = 64
MAX_TOTAL = 1024 * 1024
_MAX_CHUNKS = 50_000  # a picture of 64 megapixels in the usual chunks of 8 kB has fewer
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHECKSUM = 4


@dataclass
class Texts:
    """The texts of a file by keyword; `complete` tells whether these are all of them, whole."""

    by_keyword: dict[str, str] = field(default_factory=dict)
    complete: bool = True
    _room: int = MAX_TOTAL

    def add(self, found: "_Found | None") -> None:
        """Add one text, unless it can't be read, is too much, or its keyword is there already."""
        if found is None or found.keyword in self.by_keyword or len(self.by_keyword) >= MAX_TEXTS:
            self.complete = False
            return
        shown = found.text[: self._room]
        self._room -= len(shown)
        self.complete = self.complete and found.whole and shown == found.text
        self.by_keyword[found.keyword] = shown


@dataclass
class _Found:
    keyword: str
    text: str
    whole: bool = True


def png_texts(path: Path) -> Texts:
    """Return the texts of a file (see `texts_in`); raise FileNotFoundError."""
    with path.open("rb") as stream:
        return texts_in(stream)


def texts_in(stream: IO[bytes]) -> Texts:
    """Return the tEXt, zTXt and iTXt chunks; a file that is broken or no PNG yields what it has.

    Reads at most MAX_TEXT of a chunk and MAX_TOTAL in all.
    """
    texts = Texts()
    if stream.read(len(_SIGNATURE)) == _SIGNATURE:
        _read_chunks(stream, texts)
    return texts


def _read_chunks(stream: IO[bytes], texts: Texts) -> None:
    for _ in range(_MAX_CHUNKS):
        header = stream.read(8)
        if len(header) < 8 or header[4:] == b"IEND":
            texts.complete = texts.complete and header[4:] == b"IEND"
            return
        size, kind = struct.unpack(">I4s", header)
        read = _READERS.get(kind)
        if read is None:
            stream.seek(size + _CHECKSUM, 1)
        else:
            content = stream.read(min(size, MAX_TEXT))
            texts.add(read(content))
            texts.complete = texts.complete and len(content) == size
            stream.seek(size - len(content) + _CHECKSUM, 1)
    texts.complete = False


def _plain(content: bytes) -> _Found | None:
    keyword, end, text = content.partition(b"\0")
    return _Found(keyword.decode("latin-1"), text.decode("latin-1")) if end else None


def _compressed(content: bytes) -> _Found | None:
    keyword, end, rest = content.partition(b"\0")
    unpacked = _unpacked(rest[1:]) if end else None
    if unpacked is None:
        return None
    return _Found(keyword.decode("latin-1"), unpacked[0].decode("latin-1"), unpacked[1])


def _international(content: bytes) -> _Found | None:
    keyword, _, rest = content.partition(b"\0")
    packed, parts = rest[:1] == b"\x01", rest[2:].split(b"\0", 2)
    if len(parts) < 3:
        return None
    text = _unpacked(parts[2]) if packed else (parts[2], True)
    if text is None:
        return None
    return _Found(keyword.decode("latin-1"), text[0].decode("utf-8", "replace"), text[1])


def _unpacked(data: bytes) -> tuple[bytes, bool] | None:
    """Return at most MAX_TEXT of what was packed, and whether that is all: it may be a bomb."""
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, MAX_TEXT)
    except zlib.error:
        return None
    return text, unpacker.eof


_READERS = {b"tEXt": _plain, b"zTXt": _compressed, b"iTXt": _international}
