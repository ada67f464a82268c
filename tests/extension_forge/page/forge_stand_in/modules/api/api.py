"""The two generation routes: what MobileSD's request becomes on the server that executes."""

import base64
import contextlib
import io

import gradio as gr
from PIL import Image

from modules import processing, scripts, shared
from modules.api import models


def decode_base64_to_image(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


# What is set on the server that executes, as different from the page's as it can be.
_OTHERS = {
    "sd_model_checkpoint": "another.safetensors",
    "forge_additional_modules": ["/srv/other/VAE/hard.safetensors"],
    "CLIP_stop_at_last_layers": 1,
    "face_restoration": True,
    "tiling": True,
    "initial_noise_multiplier": 0.5,
}


@contextlib.contextmanager
def another_server():
    """Run with other options and without the page's styles."""
    options, styles = dict(shared.opts.data), dict(shared.STYLES)
    shared.opts.data.update(_OTHERS)
    shared.STYLES.clear()
    try:
        yield
    finally:
        shared.opts.data.update(options)
        shared.STYLES.update(styles)


class Api:
    def __init__(self, app):
        self.defaults = {
            "txt2img": self._default_args(scripts.scripts_txt2img),
            "img2img": self._default_args(scripts.scripts_img2img),
        }
        app.add_api_route("/sdapi/v1/txt2img", self.txt2img, methods=["POST"])
        app.add_api_route("/sdapi/v1/img2img", self.img2img, methods=["POST"])

    @staticmethod
    def _default_args(runner):
        """Ask all scripts for their page again, in one that nobody sees."""
        args = [None] * len(runner.inputs)
        args[0] = 0
        with gr.Blocks():
            for script in runner.scripts:
                if script.ui(script.is_img2img):
                    values = [element.value for element in script.ui(script.is_img2img)]
                    args[script.args_from : script.args_to] = values
        return args

    def txt2img(self, request: models.StableDiffusionTxt2ImgProcessingAPI):
        kind = processing.StableDiffusionProcessingTxt2Img
        return self._run(request, "txt2img", kind, scripts.scripts_txt2img)

    def img2img(self, request: models.StableDiffusionImg2ImgProcessingAPI):
        kind = processing.StableDiffusionProcessingImg2Img
        return self._run(request, "img2img", kind, scripts.scripts_img2img)

    def _run(self, request, tab, kind, runner):
        fields = {name: value for name, value in dict(request).items() if name not in models._OWN}
        fields.pop("include_init_images", None)
        if fields.get("init_images"):
            fields["init_images"] = [decode_base64_to_image(x) for x in fields["init_images"]]
        if fields.get("mask"):
            fields["mask"] = decode_base64_to_image(fields["mask"])
        args = list(self.defaults[tab])
        if request.script_name:
            titles = [script.title().lower() for script in runner.selectable_scripts]
            place = titles.index(request.script_name.lower())
            script = runner.selectable_scripts[place]
            args[script.args_from : script.args_to] = request.script_args
            args[0] = place + 1
        by_title = {script.title().lower(): script for script in runner.alwayson_scripts}
        for title, given in request.alwayson_scripts.items():
            script = by_title[title.lower()]
            for number, value in enumerate(given["args"]):
                args[script.args_from + number] = value
        p = kind(**fields)
        p.is_api = True
        p.scripts, p.script_args = runner, args
        with another_server():
            digest, effective = processing.process_images(p)
        return {"digest": digest, "effective": effective}
