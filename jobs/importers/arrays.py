"""Pictures that the extension stored as packed arrays of their pixels.

The form, as recorded: `{"cls": "Image", "mode", "size": [w, h], "data"}` or `{"cls": "ndarray",
"shape": [h, w, channels], "data"}`; `data` is base64 of zlib of the bytes.
"""

import base64
import binascii
import io
import zlib
from collections.abc import Mapping
from typing import Any

from jobs.pictures import MAX_PIXELS

__all__ = ["Picture", "read_picture"]

_CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}
_MODES = {channels: mode for mode, channels in _CHANNELS.items()}


class Picture:
    """A picture with its pixels in memory."""

    def __init__(self, image: Any) -> None:
        self._image = image

    @property
    def size(self) -> tuple[int, int]:
        width, height = self._image.size
        return int(width), int(height)

    def without_alpha(self) -> str:
        """Return it as base64 of a PNG, in colour."""
        return _png(self._image.convert("RGB"))

    def as_mask(self) -> str:
        """Return it as base64 of a PNG, in grey."""
        return _png(self._image.convert("L"))

    def mask_with_holes_of(self, picture: "Picture") -> str:
        """Return it as a mask that also covers what is transparent in another picture."""
        from PIL import ImageChops

        mask = self._image.convert("L")
        if picture._image.mode != "RGBA" or picture.size != self.size:
            return _png(mask)
        holes = picture._image.getchannel("A").point(lambda value: 255 if value < 255 else 0)
        return _png(ImageChops.lighter(mask, holes))


def read_picture(value: Any) -> Picture:
    """Return the picture; raise ValueError with a sentence for anything else.

    Never unpacks more bytes than the size that it promises has.
    """
    if isinstance(value, str):
        return _opened(value)
    if not isinstance(value, Mapping):
        raise ValueError("is missing")
    mode, width, height = _form(value)
    channels = _CHANNELS[mode]
    if not (0 < width <= 16_384 and 0 < height <= 16_384) or width * height > MAX_PIXELS:
        raise ValueError("is larger than 64 megapixels")
    pixels = _unpacked(value.get("data"), width * height * channels)
    from PIL import Image

    return Picture(Image.frombytes(mode, (width, height), pixels))


def _form(value: Mapping[str, Any]) -> tuple[str, int, int]:
    kind, sides = value.get("cls"), value.get("size", value.get("shape"))
    if not isinstance(sides, list) or not all(type(side) is int for side in sides):
        raise ValueError("has no size")
    if kind == "Image" and len(sides) == 2 and value.get("mode") in _CHANNELS:
        return str(value["mode"]), sides[0], sides[1]
    if kind == "ndarray" and len(sides) == 3 and sides[2] in _MODES:
        return _MODES[sides[2]], sides[1], sides[0]
    if kind == "ndarray" and len(sides) == 2:
        return "L", sides[1], sides[0]
    raise ValueError("has a form that is not known")


def _unpacked(data: Any, size: int) -> bytes:
    if not isinstance(data, str):
        raise ValueError("has no pixels")
    try:
        unpacker = zlib.decompressobj()
        pixels = unpacker.decompress(base64.b64decode(data, validate=True), size + 1)
    except (ValueError, zlib.error):
        raise ValueError("is broken") from None
    if len(pixels) != size:
        raise ValueError("has not as many pixels as its size says")
    return pixels


def _opened(text: str) -> Picture:
    from PIL import Image

    from jobs.pictures import verify

    if not text.startswith("data:image/"):
        raise ValueError("is a file or an address of the other program's computer")
    try:
        content = binascii.a2b_base64(text.partition(",")[2])
    except ValueError:
        raise ValueError("is broken") from None
    verify(content)
    image = Image.open(io.BytesIO(content))
    image.load()
    return Picture(image)


def _png(image: Any) -> str:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")
