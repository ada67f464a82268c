"""What is queued makes the picture that Generate makes.

The job goes the whole way: from the page through MobileSD's own parameters and the request that
its dispatcher builds, to the API of a Forge. The stand-in's "pixels" are a digest of all that
would change a picture.
"""

import base64
import io
from typing import Any

import pytest
import requests
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from dispatch.dispatchers.base import Order
from dispatch.dispatchers.forge import payload
from jobs.params import normalise
from tests.extension_forge.page.conftest import Open
from tests.extension_forge.page.stand_in import StandIn
from tests.extension_forge.page.test_buttons import generate, press

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def replayed(forge: StandIn, params: dict[str, Any]) -> dict[str, Any]:
    """Run a queued job on the Forge; return what came out."""
    taken = normalise(params, app_type="forge")
    assert taken.warnings == []
    request = payload.build(Order(taken.kind, taken.params, taken.checkpoint), None)
    answer = requests.post(forge.url + request.path, json=request.body, timeout=20)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def assert_same_picture(page: Page, forge: StandIn, tab: str) -> dict[str, Any]:
    """Queue and generate; return what the picture was made of."""
    page.locator(f"#{tab}_seed input").fill("4242")
    assert press(page, "queue", tab) == "Queued: 1."
    queued = replayed(forge, forge.submitted[-1]["params"])
    made = generate(page, forge, tab)
    assert queued["effective"] == made["effective"]
    assert queued["digest"] == made["digest"]
    effective: dict[str, Any] = made["effective"]  # type: ignore[assignment]
    return effective


def canvas(page: Page, elem_id: str, picture: Image.Image) -> None:
    """Put a picture onto a canvas of the stand-in."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    text = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    page.locator(f"#{elem_id} textarea").fill(text)
    # Gradio takes over what was typed with its next drawing.
    page.evaluate("() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")


def show_mode(page: Page, name: str, number: int) -> None:
    """Open a tab of img2img; its number takes a way over the server."""
    page.locator("#mode_img2img").get_by_role("tab", name=name, exact=True).click()
    expect(page.locator("#img2img_chosen input")).to_have_value(str(number))


def photo() -> Image.Image:
    return Image.radial_gradient("L").resize((120, 96)).convert("RGBA")


def strokes() -> Image.Image:
    painted = Image.new("RGBA", (120, 96))
    ImageDraw.Draw(painted).ellipse((30, 20, 70, 60), fill=(200, 30, 30, 255))
    ImageDraw.Draw(painted).ellipse((80, 20, 100, 60), fill=(200, 30, 30, 90))
    return painted


def choose(page: Page, elem_id: str, option: str) -> None:
    page.locator(f"#{elem_id} input").click()
    page.get_by_role("option", name=option).click()


def test_txt2img_as_it_stands(forge: StandIn, open_page: Open) -> None:
    made = assert_same_picture(open_page(forge), forge, "txt2img")
    assert (made["modules"], made["clip skip"]) == (["soft.safetensors"], 2)


def test_txt2img_with_styles_hires_overrides_and_scripts(forge: StandIn, open_page: Open) -> None:
    page = open_page(forge)
    page.locator("#txt2img_prompt textarea").fill("a red fox <lora:random_lora:0.5>")
    choose(page, "txt2img_styles", "film")
    choose(page, "txt2img_override_settings", "CLIP_stop_at_last_layers: 3")
    page.get_by_role("button", name="Hires. fix").click()
    page.locator("#txt2img_hr input").check()
    page.locator("#hires_prompt textarea").fill("a fox, closer")
    page.get_by_role("button", name="FreeU Integrated").click()
    page.locator("#txt2img_freeu input").check()
    made = assert_same_picture(page, forge, "txt2img")
    assert made["prompt"] == "film grain, a red fox <lora:random_lora:0.5>"
    assert made["hr prompt"] == "film grain, a fox, closer"
    assert (made["hr_cfg"], made["hr_additional_modules"]) == (7.0, ["Use same choices"])
    assert made["clip skip"] == 3
    assert made["scripts"]["FreeU Integrated"] == [1.0, 1.01]


def test_txt2img_with_a_drawing_for_controlnet(forge: StandIn, open_page: Open) -> None:
    page = open_page(forge)
    page.get_by_role("button", name="ControlNet Unit 0").click()
    page.locator("#txt2img_controlnet_0_enable input").check()
    canvas(page, "txt2img_controlnet_0_background", Image.new("RGBA", (120, 96)))
    canvas(page, "txt2img_controlnet_0_foreground", strokes())
    drawn = assert_same_picture(page, forge, "txt2img")["scripts"]["ControlNet"]
    canvas(page, "txt2img_controlnet_0_background", photo())
    masked = assert_same_picture(page, forge, "txt2img")["scripts"]["ControlNet"]
    assert drawn[0][0] == drawn[0][1]  # the drawing is input and mask
    assert masked[0][0] != masked[0][1]


def test_img2img_by_its_tabs(forge: StandIn, open_page: Open) -> None:
    page = open_page(forge)
    page.get_by_role("tab", name="img2img").first.click()
    refused = press(page, "queue", "img2img")
    assert refused == "There is no picture in this tab of img2img. Add one, then queue it."
    found = []
    for number, name in enumerate(("img2img", "sketch", "inpaint", "inpaint_sketch")):
        show_mode(page, name, number)
        canvas(page, f"img2img_{name}_background", photo())
        if name != "img2img":
            canvas(page, f"img2img_{name}_foreground", strokes())
        found.append(assert_same_picture(page, forge, "img2img"))
    assert ["mask" in made for made in found] == [False, False, True, True]
    assert found[2]["mask"] != found[3]["mask"]  # the sketch's is wider
    assert found[0]["init"] == found[2]["init"] != found[1]["init"]

    page.locator("#img2img_scale_tab input").fill("1")
    page.locator("#img2img_scale input[type=number]").fill("1.55")
    scaled = assert_same_picture(page, forge, "img2img")
    assert (scaled["width"], scaled["height"]) == (184.0, 144.0)

    show_mode(page, "batch", 5)
    before = len(forge.submitted)
    assert press(page, "queue", "img2img").startswith("Batch can't be queued")
    assert len(forge.submitted) == before


def test_img2img_with_an_uploaded_mask(forge: StandIn, open_page: Open, tmp_path) -> None:
    page = open_page(forge)
    page.get_by_role("tab", name="img2img").first.click()
    show_mode(page, "upload", 4)
    for elem_id, picture in (("img_inpaint_base", photo()), ("img_inpaint_mask", strokes())):
        picture.save(tmp_path / f"{elem_id}.png")
        page.locator(f"#{elem_id} input[type=file]").set_input_files(tmp_path / f"{elem_id}.png")
        page.locator(f"#{elem_id} img").wait_for()
    made = assert_same_picture(page, forge, "img2img")
    assert "mask" in made
