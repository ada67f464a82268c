"""A unit's pictures, put together from what is on its canvases."""

import base64
import io
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
from mobilesd_forge.controlnet import is_unit, unit_params
from mobilesd_forge.payload import CannotQueue
from PIL import Image, ImageDraw

from tests.extension_forge.page.likenesses import Array

EMPTY = Array(Image.new("RGBA", (20, 10)))


class Input(Enum):
    SIMPLE = "simple"
    BATCH = "batch"


@dataclass
class ControlNetUnit:
    input_mode: Any = Input.SIMPLE
    use_preview_as_input: bool = False
    batch_image_dir: str = ""
    generated_image: Any = None
    mask_image: Any = None
    mask_image_fg: Any = None
    enabled: bool = True
    module: str = "canny"
    model: str = "None"
    weight: float = 1.0
    image: Any = None
    image_fg: Any = None


def filled(colour: tuple[int, ...]) -> Array:
    return Array(Image.new("RGBA", (20, 10), colour))


def drawn(alpha: int = 255) -> Array:
    picture = Image.new("RGBA", (20, 10))
    ImageDraw.Draw(picture).rectangle((0, 0, 9, 9), fill=(9, 9, 9, alpha))
    return Array(picture)


def sent(unit: ControlNetUnit, name: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(unit_params(unit, "ControlNet")[name])))


def test_a_unit_is_told_from_other_arguments() -> None:
    assert is_unit(ControlNetUnit())
    assert not is_unit(ControlNetUnit)
    assert not is_unit({"enabled": True, "module": 1, "model": 1, "image": 1, "weight": 1})
    assert not is_unit(7)


def test_the_picture_goes_as_it_is_and_without_strokes_there_is_no_mask() -> None:
    unit = ControlNetUnit(image=filled((1, 2, 3, 255)), image_fg=EMPTY)
    assert sent(unit, "image").getpixel((0, 0)) == (1, 2, 3, 255)
    made = unit_params(unit, "ControlNet")
    assert "mask_image" not in made
    assert made["input_mode"] == "simple"


def test_a_drawing_on_an_empty_canvas_is_the_input_and_its_own_mask() -> None:
    unit = ControlNetUnit(image=EMPTY, image_fg=drawn())
    for name in ("image", "mask_image"):
        picture = sent(unit, name)
        assert (picture.getpixel((0, 0)), picture.getpixel((15, 0))) == (
            (255, 255, 255),
            (0, 0, 0),
        )


def test_strokes_on_a_picture_are_its_mask() -> None:
    unit = ControlNetUnit(image=filled((200, 0, 0, 255)), image_fg=drawn(77))
    assert sent(unit, "image").getpixel((0, 0)) == (200, 0, 0, 255)
    assert sent(unit, "mask_image").getpixel((0, 0)) == (77, 77, 77)


def test_the_masks_own_canvas_comes_first_then_its_picture_then_strokes() -> None:
    unit = ControlNetUnit(
        image=filled((200, 0, 0, 255)),
        image_fg=drawn(77),
        mask_image=filled((50, 60, 70, 255)),
        mask_image_fg=drawn(99),
    )
    assert sent(unit, "mask_image").getpixel((0, 0)) == (99, 99, 99)
    unit.mask_image_fg = EMPTY
    assert sent(unit, "mask_image").getpixel((0, 0)) == (50, 60, 70, 255)
    unit.mask_image = EMPTY
    assert sent(unit, "mask_image").getpixel((0, 0)) == (77, 77, 77)


def test_without_a_picture_it_takes_img2imgs_and_its_mask() -> None:
    made = unit_params(ControlNetUnit(mask_image=filled((9, 9, 9, 255))), "ControlNet")
    assert not {"image", "mask_image"} & set(made)


def test_a_preview_used_as_input_is_not_preprocessed_again() -> None:
    unit = ControlNetUnit(
        use_preview_as_input=True,
        generated_image=Array(Image.new("RGB", (4, 4), (7, 8, 9))),
        image=filled((1, 2, 3, 255)),
    )
    made = unit_params(unit, "ControlNet")
    assert sent(unit, "image").getpixel((0, 0)) == (7, 8, 9)
    assert (made["module"], made["use_preview_as_input"]) == ("None", False)


def test_an_idle_unit_sends_no_pictures() -> None:
    unit = ControlNetUnit(enabled=False, image=filled((1, 2, 3, 255)), input_mode=Input.BATCH)
    assert set(unit_params(unit, "ControlNet")) == {
        "enabled",
        "input_mode",
        "model",
        "module",
        "use_preview_as_input",
        "weight",
    }


def test_folders_of_this_machine_are_refused() -> None:
    with pytest.raises(CannotQueue, match="ControlNet, setting 1 takes several pictures"):
        unit_params(ControlNetUnit(input_mode=Input.BATCH), "ControlNet, setting 1")


def test_pictures_of_older_pages_come_in_pairs() -> None:
    pair = {"image": filled((1, 2, 3, 255)), "mask": filled((50, 60, 70, 255))}
    unit = ControlNetUnit(image=pair)
    assert sent(unit, "image").getpixel((0, 0)) == (1, 2, 3, 255)
    assert sent(unit, "mask_image").getpixel((0, 0)) == (50, 60, 70, 255)
