"""Forge's canvas: two pictures, background and foreground, sent as text."""

import base64
import io
from functools import wraps

import gradio as gr
import numpy as np
from PIL import Image

_HEAD = "data:image/png;base64,"


class LogicalImage(gr.Textbox):
    """A text that is a picture to Python: RGBA, as PIL image or as array."""

    @wraps(gr.Textbox.__init__)  # Gradio reads from it what to tell the browser
    def __init__(self, *args, numpy=False, **kwargs):
        self.numpy = numpy
        super().__init__(*args, **kwargs)

    def preprocess(self, payload):
        if not isinstance(payload, str) or not payload.startswith(_HEAD):
            return None
        picture = Image.open(io.BytesIO(base64.b64decode(payload[len(_HEAD) :]))).convert("RGBA")
        return np.array(picture) if self.numpy else picture

    def get_block_name(self):
        return "textbox"


class ForgeCanvas:
    def __init__(self, elem_id, numpy=False):
        self.background = LogicalImage(
            label="background", numpy=numpy, elem_id=f"{elem_id}_background"
        )
        self.foreground = LogicalImage(
            label="foreground", numpy=numpy, elem_id=f"{elem_id}_foreground"
        )
