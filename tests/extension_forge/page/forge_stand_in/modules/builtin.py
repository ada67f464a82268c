"""The scripts that come with Forge, as far as captures differ by them."""

import base64
import io
from dataclasses import dataclass
from enum import Enum
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from modules import canvas, scripts
from modules.processing import pixels


class Sampler(scripts.ScriptBuiltinUI):
    def title(self):
        return "Sampler"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        tab = self.tabname
        self.steps = gr.Slider(1, 150, 20, step=1, label="Sampling steps", elem_id=f"{tab}_steps")
        self.sampler = gr.Dropdown(
            ["Euler a", "Euler", "DPM++ 2M"], value="Euler a", label="Sampling method"
        )
        scheduler = gr.Dropdown(["Automatic", "Karras"], value="Automatic", label="Schedule type")
        return [self.steps, self.sampler, scheduler]

    def setup(self, p, steps, sampler_name, scheduler):
        p.steps, p.sampler_name, p.scheduler = steps, sampler_name, scheduler


class Seed(scripts.ScriptBuiltinUI):
    def title(self):
        return "Seed"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        tab = self.tabname
        self.seed = gr.Number(-1, label="Seed", precision=0, elem_id=f"{tab}_seed")
        extras = gr.Checkbox(False, label="Extra")
        subseed = gr.Number(-1, label="Variation seed", precision=0)
        strength = gr.Slider(0, 1, 0, step=0.01, label="Variation strength")
        return [self.seed, extras, subseed, strength]

    def setup(self, p, seed, extras, subseed, strength):
        p.seed = seed
        p.subseed, p.subseed_strength = (subseed, strength) if extras else (-1, 0)


class InputMode(Enum):
    SIMPLE = "simple"
    BATCH = "batch"


class ResizeMode(Enum):
    RESIZE = "Just Resize"
    INNER_FIT = "Crop and Resize"


@dataclass
class ControlNetUnit:
    input_mode: InputMode = InputMode.SIMPLE
    use_preview_as_input: bool = False
    generated_image: Any = None
    mask_image: Any = None
    mask_image_fg: Any = None
    enabled: bool = True
    module: str = "None"
    model: str = "None"
    weight: float = 1.0
    image: Any = None
    image_fg: Any = None
    resize_mode: Any = ResizeMode.INNER_FIT

    @staticmethod
    def from_dict(values):
        known = {k: v for k, v in values.items() if k in vars(ControlNetUnit)}
        unit = ControlNetUnit(**known)
        for name in ("image", "mask_image"):
            if isinstance(text := getattr(unit, name), str):
                picture = Image.open(io.BytesIO(base64.b64decode(text)))
                setattr(unit, name, np.array(picture).astype("uint8"))
        return unit

    def seen(self, p):
        """What the model would see: input and mask, by ControlNet's rules."""
        if self.image is None:
            return ["img2img", self.weight, self.module]
        strokes = None if self.image_fg is None else self.image_fg[:, :, 3]
        masked = None if self.mask_image_fg is None else self.mask_image_fg[:, :, 3]
        drawn = strokes is not None and (strokes > 5).any()
        image = strokes if drawn and (self.image < 5).all() else self.image
        mask = None
        if masked is not None and (masked > 5).any():
            mask = masked
        elif self.mask_image is not None and (self.mask_image > 5).any():
            mask = self.mask_image
        elif drawn:
            mask = strokes
        return [_three(image), None if mask is None else _three(mask), self.weight, self.module]


def _three(array):
    return pixels(Image.fromarray(array), "RGBA")


class ControlNet(scripts.Script):
    generate = None

    def title(self):
        return "ControlNet"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def after_component(self, component, **kwargs):
        if kwargs.get("elem_id") == f"{self.tabname}_generate":
            self.generate = component

    def ui(self, is_img2img):
        return [self._unit(number) for number in range(2)]

    def _unit(self, number):
        name = f"{self.tabname}_controlnet_{number}"
        with gr.Accordion(f"ControlNet Unit {number}", open=False):
            enabled = gr.Checkbox(False, label="Enable", elem_id=f"{name}_enable")
            module = gr.Dropdown(["None", "canny"], value="None", label="Preprocessor")
            weight = gr.Slider(0, 2, 1, step=0.05, label="Weight", elem_id=f"{name}_weight")
            picture = canvas.ForgeCanvas(name, numpy=True)
        inputs = [enabled, module, weight, picture.background, picture.foreground]
        unit = gr.State(ControlNetUnit(enabled=False))
        if self.generate is not None and scripts.scripts_current is not None:
            # Only here, so that a capture that forgets this registration is found out.
            self.generate.click(fn=_unit_of, inputs=inputs, outputs=unit, queue=False)
        return unit

    def effect(self, p, *units):
        units = [ControlNetUnit.from_dict(u) if isinstance(u, dict) else u for u in units]
        return [unit.seen(p) for unit in units if unit.enabled]


def _unit_of(enabled, module, weight, image, image_fg):
    return ControlNetUnit(
        enabled=enabled, module=module, weight=weight, image=image, image_fg=image_fg
    )


class FreeU(scripts.Script):
    def title(self):
        return "FreeU Integrated"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        with gr.Accordion("FreeU Integrated", open=False):
            on = gr.Checkbox(False, label="Enabled", elem_id=f"{self.tabname}_freeu")
            b1 = gr.Slider(0, 2, 1.01, step=0.01, label="B1")
        return [on, b1]


class Matrix(scripts.Script):
    def title(self):
        return "Prompt matrix"

    def ui(self, is_img2img):
        return [
            gr.Checkbox(False, label="Put variable parts at start"),
            gr.Textbox(label="Delimiter"),
        ]


SCRIPTS = (ControlNet, FreeU, Matrix, Sampler, Seed)
