"""Placeholder pictures: seeded little landscapes and orbs, fast to draw and to encode."""

from __future__ import annotations

import base64
import binascii
import colorsys
import hashlib
import io
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont, ImageOps, PngImagePlugin

from dispatch.fakes.forge.errors import RequestRefused

# The scene is drawn small and scaled up: a 1024 px picture costs little more than a 512 px one.
_CANVAS = 256
_LETTERED_FROM = 128
# Forge decodes previews with a small network at a quarter of the size (progress/live-preview).
_PREVIEW_DIVISOR = 4
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Sketch:
    """All that decides what a picture looks like."""

    seed: int
    prompt: str
    checkpoint: str
    settings: str
    width: int
    height: int
    init: Image.Image | None = None
    mask: Image.Image | None = None
    denoising: float = 1.0
    black: bool = False

    def random(self) -> random.Random:
        key = "\0".join((str(self.seed), self.prompt, self.checkpoint, self.settings))
        return random.Random(hashlib.sha256(key.encode("utf-8", "replace")).digest())


def draw(sketch: Sketch, size: tuple[int, int] | None = None, done: float = 1.0) -> Image.Image:
    """Draw the picture at `size` (default: the sketch's); `done` < 1 leaves noise in it."""
    width, height = size or (sketch.width, sketch.height)
    if sketch.black:
        return Image.new("RGB", (width, height))
    rng = sketch.random()
    image = _scene(rng, width, height)
    if sketch.init is not None:
        start = sketch.init.resize((width, height), Image.Resampling.BILINEAR)
        changed = Image.blend(start, image, min(max(sketch.denoising, 0.0), 1.0))
        if sketch.mask is None:
            image = changed
        else:
            image = Image.composite(changed, start, sketch.mask.resize((width, height)))
    if done < 1:
        noise = _noise(rng, width, height)
        return Image.blend(noise, image, 0.85 * done)
    if width >= _LETTERED_FROM and height >= _LETTERED_FROM:
        _letter(image, sketch)
    return image


def draw_preview(sketch: Sketch, done: float) -> Image.Image:
    """Draw the small, noisy picture that a poller sees."""
    size = (
        max(sketch.width // _PREVIEW_DIVISOR, 1),
        max(sketch.height // _PREVIEW_DIVISOR, 1),
    )
    return draw(sketch, size, min(done, 0.999))


def grid(images: Sequence[Image.Image]) -> Image.Image:
    """Put several pictures on one sheet, as near to a square as Forge does it."""
    rows = max(round(math.sqrt(len(images))), 1)
    columns = math.ceil(len(images) / rows)
    width, height = images[0].size
    sheet = Image.new("RGB", (columns * width, rows * height))
    for index, image in enumerate(images):
        sheet.paste(image, (index % columns * width, index // columns * height))
    return sheet


def encode(image: Image.Image, infotext: str | None = None) -> str:
    """Return base64 PNG, with the infotext in its `parameters` chunk."""
    buffer = io.BytesIO()
    info = None
    if infotext is not None:
        info = PngImagePlugin.PngInfo()
        info.add_text("parameters", infotext)
    image.save(buffer, "PNG", compress_level=1, pnginfo=info)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def decode(text: object) -> Image.Image:
    """Open a base64 or data: URL picture; raise Forge's refusals for anything else."""
    if not isinstance(text, str):
        raise RequestRefused(500, "Invalid encoded image")
    if text.startswith(("http://", "https://")):
        raise RequestRefused(500, "Request to local resource not allowed")
    if text.startswith("data:image/"):
        text = text.partition(";")[2].partition(",")[2]
    try:
        image = Image.open(io.BytesIO(base64.b64decode(text)))
        image.load()
    except (binascii.Error, ValueError, OSError, SyntaxError, Image.DecompressionBombError):
        raise RequestRefused(500, "Invalid encoded image") from None
    return image


def recode(text: object) -> str:
    """Return a picture of a request as base64 PNG; a PNG comes back as it was."""
    image = decode(text)
    if image.format == "PNG" and isinstance(text, str):
        return text.rpartition(",")[2]
    return encode(image.convert("RGB"))


def _scene(rng: random.Random, width: int, height: int) -> Image.Image:
    shrink = max(width, height) / _CANVAS
    small = (max(round(width / shrink), 2), max(round(height / shrink), 2))
    hue = rng.random()
    sky = _sky(rng, hue, small)
    paint = _hills if rng.random() < 0.65 else _orbs
    paint(rng, hue, sky)
    return sky.resize((width, height), Image.Resampling.BILINEAR)


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


@cache
def _ramps() -> tuple[Image.Image, Image.Image]:
    vertical = Image.linear_gradient("L")
    return vertical, vertical.transpose(Image.Transpose.ROTATE_90)


def _sky(rng: random.Random, hue: float, size: tuple[int, int]) -> Image.Image:
    vertical, sideways = _ramps()
    slope = Image.blend(vertical, sideways, rng.uniform(0, 0.45)).resize(size)
    return ImageOps.colorize(
        slope,
        _colour(hue, 0.75, rng.uniform(0.2, 0.45)),
        _colour(hue + rng.uniform(0.25, 0.5), 0.35, 0.98),
        _colour(hue + rng.uniform(0.08, 0.2), 0.6, rng.uniform(0.6, 0.8)),
    )


def _hills(rng: random.Random, hue: float, image: Image.Image) -> None:
    width, height = image.size
    pen = ImageDraw.Draw(image, "RGBA")
    x, y = rng.uniform(0.15, 0.85) * width, rng.uniform(0.2, 0.5) * height
    radius = rng.uniform(0.07, 0.14) * min(width, height)
    for halo in range(5, -1, -1):
        reach = radius * (1 + halo * 0.45)
        shade = (*_colour(hue + 0.45, 0.15, 1.0), 255 if halo == 0 else 16 + 6 * (5 - halo))
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=shade)
    layers = rng.randint(3, 5)
    for layer in range(layers):
        depth = (layer + 1) / layers
        base = height * (0.45 + 0.4 * depth)
        waves = [
            (rng.uniform(0.02, 0.09) * height, rng.uniform(0.6, 3.2), rng.uniform(0, math.tau))
            for _ in range(3)
        ]
        crest = [
            (
                column,
                base
                + sum(
                    swing * math.sin(turns * math.tau * column / width + shift)
                    for swing, turns, shift in waves
                ),
            )
            for column in range(0, width + 4, 4)
        ]
        shade = (*_colour(hue + 0.06 * depth, 0.45 + 0.3 * depth, 0.62 - 0.45 * depth), 255)
        pen.polygon([(0, height), *crest, (width, height)], fill=shade)


def _orbs(rng: random.Random, hue: float, image: Image.Image) -> None:
    width, height = image.size
    pen = ImageDraw.Draw(image, "RGBA")
    for _ in range(rng.randint(9, 16)):
        radius = rng.uniform(0.05, 0.3) * min(width, height)
        x, y = rng.uniform(0, 1) * width, rng.uniform(0, 1) * height
        shade = _colour(hue + rng.uniform(-0.12, 0.5), rng.uniform(0.3, 0.8), rng.uniform(0.5, 1))
        box = (x - radius, y - radius, x + radius, y + radius)
        pen.ellipse(box, fill=(*shade, rng.randint(70, 150)), outline=(255, 255, 255, 60))


def _noise(rng: random.Random, width: int, height: int) -> Image.Image:
    grain = (max(width // 8, 1), max(height // 8, 1))
    colours = Image.frombytes("RGB", grain, rng.randbytes(grain[0] * grain[1] * 3))
    grey = Image.new("RGB", grain, (128, 128, 128))
    return Image.blend(colours, grey, 0.2).resize((width, height), Image.Resampling.NEAREST)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _letter(image: Image.Image, sketch: Sketch) -> None:
    width, height = image.size
    size = max(9, min(width, height) // 30)
    font = _font(size)
    room = max(int(width / (size * 0.56)) - 2, 8)
    prompt = " ".join(sketch.prompt.split()) or "(no prompt)"
    if len(prompt) > room:
        prompt = prompt[: room - 1] + "…"
    lines = f"{prompt}\nseed {sketch.seed} · {sketch.checkpoint}"
    pen = ImageDraw.Draw(image, "RGBA")
    top = height - round(size * 3.3)
    pen.rectangle((0, top, width, height), fill=(0, 0, 0, 96))
    pen.multiline_text(
        (size * 0.7, top + size * 0.35), lines, fill=(255, 255, 255, 230), font=font, spacing=4
    )
