"""Which picture and mask each tab of img2img stands for, made as Forge makes them."""

import base64
import io
from typing import Any

import pytest
from mobilesd_forge.capture import generation_params, img2img_pictures, img2img_size
from mobilesd_forge.payload import CannotQueue
from PIL import Image, ImageDraw

from jobs.params import normalise
from tests.extension_forge.page.likenesses import NO_STYLES, Scripts, processing

BLUE, CLEAR = (0, 0, 255, 255), (0, 0, 0, 0)


def canvas(size: tuple[int, int] = (100, 80)) -> Image.Image:
    return Image.new("RGBA", size, BLUE)


def strokes(alpha: int = 255, size: tuple[int, int] = (100, 80)) -> Image.Image:
    painted = Image.new("RGBA", size, CLEAR)
    ImageDraw.Draw(painted).rectangle((40, 30, 59, 49), fill=(255, 0, 0, alpha))
    return painted


def test_the_plain_tab_has_a_picture_and_no_mask() -> None:
    image, mask = img2img_pictures(0, {"init_img": canvas()})
    assert image.getpixel((50, 40)) == BLUE
    assert mask is None


def test_a_sketch_is_painted_onto_its_picture() -> None:
    image, mask = img2img_pictures(1, {"sketch": canvas(), "sketch_fg": strokes()})
    assert image.getpixel((50, 40)) == (255, 0, 0, 255)
    assert image.getpixel((10, 10)) == BLUE
    assert mask is None


def test_the_mask_of_an_inpaint_is_where_strokes_are_more_than_half_there() -> None:
    named = {"init_img_with_mask": canvas(), "init_img_with_mask_fg": strokes(alpha=129)}
    image, mask = img2img_pictures(2, named)
    assert image.getpixel((50, 40)) == BLUE  # the strokes are not in the picture
    assert mask is not None
    assert mask.mode == "RGBA"
    assert mask.getpixel((50, 40)) == (255, 255, 255, 255)
    assert mask.getpixel((39, 40)) == (0, 0, 0, 255)
    thin = {**named, "init_img_with_mask_fg": strokes(alpha=128)}
    faint = img2img_pictures(2, thin)[1]
    assert faint is not None
    assert faint.getpixel((50, 40)) == (0, 0, 0, 255)


def test_an_inpaint_sketch_is_painted_and_masked_a_little_wider() -> None:
    named = {"inpaint_color_sketch": canvas(), "inpaint_color_sketch_fg": strokes()}
    image, mask = img2img_pictures(3, named)
    assert image.getpixel((50, 40)) == (255, 0, 0, 255)
    assert mask is not None
    # 1.5 % of the short side of 80 pixels is 1: three pixels wide, one to each side
    assert [mask.getpixel((x, 40))[0] for x in (38, 39, 40)] == [0, 255, 255]


def test_an_uploaded_mask_is_rounded_and_stays_what_it_is() -> None:
    grey = Image.new("RGBA", (100, 80), (128, 129, 0, 255))
    image, mask = img2img_pictures(4, {"init_img_inpaint": canvas(), "init_mask_inpaint": grey})
    assert image.size == (100, 80)
    assert mask is not None
    assert mask.getpixel((0, 0)) == (0, 255, 0, 255)


def test_a_photo_that_lies_on_its_side_is_turned_as_forge_turns_it() -> None:
    photo = Image.new("RGB", (40, 20))
    exif = photo.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    photo.save(file, "JPEG", exif=exif)
    image, _ = img2img_pictures(0, {"init_img": Image.open(file)})
    assert image.size == (20, 40)


@pytest.mark.parametrize(
    ("mode", "named", "says"),
    [
        (5, {}, "Batch can't be queued"),
        (6, {}, "number 6"),
        (-1, {}, "number -1"),
        (0, {}, "no picture in this tab"),
        (1, {"init_img": canvas()}, "no picture in this tab"),
        (2, {"init_img_with_mask": canvas()}, "no mask"),
        (3, {"inpaint_color_sketch": canvas()}, "no mask"),
        (4, {"init_img_inpaint": canvas()}, "no mask"),
    ],
)
def test_what_is_missing_is_said(mode: int, named: dict[str, Any], says: str) -> None:
    with pytest.raises(CannotQueue, match=says):
        img2img_pictures(mode, named)


def test_the_size_is_as_set_or_by_the_factor_in_steps_of_eight() -> None:
    sizes = {"width": 640, "height": 512, "scale_by": 1.55, "selected_scale_tab": 0}
    assert img2img_size(sizes, canvas()) == (640, 512)
    assert img2img_size({**sizes, "selected_scale_tab": 1}, canvas()) == (152, 120)


def test_picture_and_mask_reach_mobilesd_pixel_by_pixel() -> None:
    runner = Scripts()
    named = {"init_img_with_mask": canvas(), "init_img_with_mask_fg": strokes()}
    image, mask = img2img_pictures(2, named)
    fields = {
        "mask_blur": 4,
        "mask_round": True,
        "inpainting_fill": 1,
        "inpaint_full_res": 1,  # the page counts where the API says true
        "inpaint_full_res_padding": 32,
        "inpainting_mask_invert": 0,
        "resize_mode": 0,
        "init_images": [image],
        "mask": None,
        "initial_noise_multiplier": 1.0,
        "image_cfg_scale": 1.5,
    }
    p = processing(runner, **fields)
    params = generation_params(p, runner, fields, NO_STYLES, init_image=image, mask=mask)
    assert params["inpaint_full_res"] is True
    for name, picture in (("init_images", image), ("mask", mask)):
        sent = params[name][0] if name == "init_images" else params[name]
        read = Image.open(io.BytesIO(base64.b64decode(sent)))
        assert picture is not None
        assert (read.mode, read.tobytes()) == (picture.mode, picture.tobytes())
    taken = normalise(params, app_type="forge")
    assert (taken.kind, taken.warnings) == ("img2img", [])
