"""What bytes show of the picture in them, from its header and its chunks."""

import io
import warnings
from dataclasses import dataclass

__all__ = ["MAX_PIXELS", "MIME", "PictureInfo", "inspect", "sniff", "verify"]

MAX_PIXELS = 64_000_000
MIME = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif"}


@dataclass(frozen=True)
class PictureInfo:
    """A picture's `format` (a key of MIME), and its size in pixels."""

    format: str
    width: int
    height: int


def sniff(data: bytes) -> str | None:
    """Return the format that the first bytes promise, or None for no format that we take."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    return None


def inspect(data: bytes) -> PictureInfo:
    """Read a picture's header; raise ValueError with a sentence if it is no picture."""
    return _look(data, whole=False)


def verify(data: bytes) -> PictureInfo:
    """Read the header and look whether the file ends where it should; raise ValueError.

    A picture of more than 64 megapixels is refused by its header, before anything is unpacked.
    """
    info = _look(data, whole=True)
    if info.width * info.height > MAX_PIXELS:
        raise ValueError(
            f"is a picture of {info.width * info.height / 1e6:.0f} megapixels."
            " The limit is 64: make it smaller."
        )
    return info


def _look(data: bytes, *, whole: bool) -> PictureInfo:
    from PIL import Image  # slow to import, and most processes never look at a picture

    # Our own limit is stricter, and this one would only print a warning.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    found = sniff(data)
    if found is None:
        raise ValueError("is no PNG, JPEG, WebP or GIF picture.")
    try:
        with Image.open(io.BytesIO(data), formats=[found.upper()]) as image:
            info = PictureInfo(found, *image.size)
            if whole and info.width * info.height <= MAX_PIXELS:
                # Pillow has no check for GIF but to unpack its first frame, at a byte a pixel.
                image.load() if found == "gif" else image.verify()
    except Image.DecompressionBombError as error:
        raise ValueError("is a picture of far more than 64 megapixels.") from error
    except Exception as error:  # a broken file may raise anything at all in the decoders
        raise ValueError(f"is a broken {found.upper()} picture.") from error
    if whole and found == "jpeg" and _is_cut_off(data):
        raise ValueError("is a JPEG picture that is cut off.")
    return info


def _is_cut_off(jpeg: bytes) -> bool:
    """Tell whether a JPEG has no end mark, which its decoder looks at only while unpacking."""
    return jpeg.find(b"\xff\xd9", _scan_start(jpeg)) < 0


def _scan_start(jpeg: bytes) -> int:
    """Return where the picture itself begins: a thumbnail before it has an end mark of its own."""
    at = 2
    while jpeg[at : at + 1] == b"\xff":
        marker = jpeg[at + 1 : at + 2]
        if marker == b"\xda":
            break
        at += 1 if marker == b"\xff" else 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    return at
