"""ControlNet's units: from the objects that its page keeps to what its API takes.

The page has a picture and what was painted on it, for the input and for the mask. The API takes
one string for each, so they are put together here by ControlNet's own rules.
"""

import dataclasses
from typing import Any

from PIL import Image

from mobilesd_forge import images
from mobilesd_forge.payload import CannotQueue, jsonable

__all__ = ["is_unit", "unit_params"]

_TELLTALE = ("enabled", "module", "model", "image", "weight")
# Of the page alone, or put together below.
_NOT_SENT = {
    "batch_image_dir",
    "batch_input_gallery",
    "batch_mask_dir",
    "batch_mask_gallery",
    "generated_image",
    "image",
    "image_fg",
    "mask_image",
    "mask_image_fg",
}
_ONE_PICTURE = "simple"


def is_unit(value: Any) -> bool:
    """Tell whether a script's argument is a unit of ControlNet's."""
    return not isinstance(value, (type, dict)) and all(hasattr(value, name) for name in _TELLTALE)


def unit_params(unit: Any, where: str) -> dict[str, Any]:
    """Return a unit as its API takes it.

    A unit that is switched off does nothing, so its pictures are left out. Raises CannotQueue
    for the modes that read folders of this machine.
    """
    names = (
        [field.name for field in dataclasses.fields(unit)]
        if dataclasses.is_dataclass(unit)
        else list(vars(unit))
    )
    made = {
        name: jsonable(getattr(unit, name), f"{where}, {name}")
        for name in names
        if name not in _NOT_SENT and not name.startswith("_")
    }
    made = {name: value for name, value in made.items() if value is not None}
    if not unit.enabled:
        return made
    if made.get("input_mode", _ONE_PICTURE) != _ONE_PICTURE:
        raise CannotQueue(
            f"{where} takes several pictures or a folder. MobileSD can queue units with one"
            " picture: choose the tab Single Image in ControlNet."
        )
    if made.get("use_preview_as_input") and getattr(unit, "generated_image", None) is not None:
        # The preview is already preprocessed: ControlNet takes it as it is.
        made |= {"use_preview_as_input": False, "module": "None"}
        image = _picture(unit.generated_image)
    else:
        image = _input(unit)
    if image is not None:
        made["image"] = images.png(image)
        if (mask := _mask(unit)) is not None:
            made["mask_image"] = images.png(mask)
    return made


def _input(unit: Any) -> Image.Image | None:
    """Return the input; None leaves it to img2img's own picture."""
    image = _picture(unit.image)
    if image is None:
        return None
    strokes = images.painted(_picture(getattr(unit, "image_fg", None)))
    if strokes is not None and images.is_dark(image):
        return strokes.convert("RGB")  # drawn on an empty canvas: the drawing is the input
    return image


def _mask(unit: Any) -> Image.Image | None:
    strokes = images.painted(_picture(getattr(unit, "mask_image_fg", None)))
    if strokes is not None:
        return strokes.convert("RGB")
    held = unit.image.get("mask") if isinstance(unit.image, dict) else None
    for value in (getattr(unit, "mask_image", None), held):
        mask = _picture(value)
        if mask is not None and not images.is_blank(mask):
            return mask
    strokes = images.painted(_picture(getattr(unit, "image_fg", None)))
    return None if strokes is None else strokes.convert("RGB")


def _picture(value: Any) -> Image.Image | None:
    if isinstance(value, dict):  # older pages: {"image": array, "mask": array}
        value = value.get("image")
    if isinstance(value, Image.Image):
        return value
    if value is None or not hasattr(value, "__array_interface__") or not images.is_picture(value):
        return None
    return images.from_array(value)
