"""Pictures as Forge's page holds them, turned into what its API takes.

The page keeps a canvas as two pictures, background and what was painted on it. The API knows
one picture and one mask; here they are made as Forge makes them when Generate is pressed.
"""

import base64
import io
from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageFilter, ImageOps

__all__ = ["from_array", "init_and_mask", "is_blank", "is_dark", "is_picture", "painted", "png"]

_CHANNELS = (1, 3, 4)
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
# A stroke counts as painted from half opacity on; the mask of an inpaint sketch is this part of
# the short side wider than the strokes.
_HALF = 128
_WIDER = 0.015
# ControlNet takes what is below this for nothing.
_VISIBLE = 5


def png(picture: Image.Image) -> str:
    """Return a picture as base64 PNG: its pixels alone, nothing that came with its file."""
    mode = picture.mode if picture.mode in _PNG_MODES else "RGB"
    bare = picture.convert(mode) if mode != picture.mode else picture.copy()
    bare.info = {key: bare.info[key] for key in ("transparency",) if key in bare.info}
    buffer = io.BytesIO()
    bare.save(buffer, "PNG", compress_level=4)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def is_picture(array: Any) -> bool:
    """Tell whether an array is a picture of 8 bits a channel."""
    shape = tuple(array.shape)
    is_flat = len(shape) == 2 or (len(shape) == 3 and shape[2] in _CHANNELS)
    return is_flat and 0 not in shape and array.__array_interface__["typestr"] == "|u1"


def from_array(array: Any) -> Image.Image:
    """Return the picture that an array holds; see `is_picture`."""
    height, width = array.shape[:2]
    mode = _MODES[array.shape[2] if len(array.shape) == 3 else 1]
    return Image.frombytes(mode, (width, height), array.tobytes())


def is_dark(picture: Image.Image) -> bool:
    """Tell whether there is nothing in any channel, as in a canvas without a background."""
    return _highest(picture) < _VISIBLE


def is_blank(picture: Image.Image) -> bool:
    """Tell whether a mask has nowhere more than nearly nothing."""
    return _highest(picture) <= _VISIBLE


def painted(foreground: Image.Image | None) -> Image.Image | None:
    """Return what is painted on a canvas, as gray; None if that is nothing."""
    alpha = _alpha(foreground)
    return None if alpha is None or is_blank(alpha) else alpha


def _highest(picture: Image.Image) -> int:
    extrema: Any = picture.getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return int(max(high for _, high in bands))


def init_and_mask(
    mode: int, named: Mapping[str, Any]
) -> tuple[Image.Image | None, Image.Image | None]:
    """Return the picture and the mask of an img2img mode, 0 to 4, as Forge makes them.

    `named` are the inputs of Forge's img2img by name. A part that is missing is None.
    """
    if mode == 0:
        return _upright(named.get("init_img")), None
    if mode == 1:
        return _composed(named.get("sketch"), named.get("sketch_fg")), None
    if mode == 2:
        foreground = named.get("init_img_with_mask_fg")
        return _upright(named.get("init_img_with_mask")), _opaque(_alpha(foreground))
    if mode == 3:
        foreground = named.get("inpaint_color_sketch_fg")
        image = _composed(named.get("inpaint_color_sketch"), foreground)
        return image, _opaque(_widened(_alpha(foreground)))
    return _upright(named.get("init_img_inpaint")), _rounded(
        _upright(named.get("init_mask_inpaint"))
    )


def _upright(picture: Image.Image | None) -> Image.Image | None:
    # Photos of phones lie on their side and say so in their file; `png` drops that.
    return None if picture is None else ImageOps.exif_transpose(picture)


def _composed(background: Image.Image | None, foreground: Image.Image | None) -> Image.Image | None:
    if background is None or foreground is None:
        return background
    return Image.alpha_composite(background.convert("RGBA"), foreground.convert("RGBA"))


def _alpha(foreground: Image.Image | None) -> Image.Image | None:
    return None if foreground is None else foreground.convert("RGBA").getchannel("A")


def _widened(alpha: Image.Image | None) -> Image.Image | None:
    if alpha is None:
        return None
    size = int(_WIDER * min(alpha.size)) * 2 + 1
    return alpha.filter(ImageFilter.MaxFilter(size))


def _opaque(mask: Image.Image | None) -> Image.Image | None:
    """Return a gray mask as RGBA without transparency: its brightness is what counts."""
    if mask is None:
        return None
    rounded = _rounded(mask)
    return Image.merge("RGBA", (rounded, rounded, rounded, Image.new("L", mask.size, 255)))


def _rounded(mask: Image.Image | None) -> Any:
    return None if mask is None else mask.point(lambda value: 255 if value > _HALF else 0)
