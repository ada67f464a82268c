"""Models of requests: the fields of the processing objects, and a few of the API's own."""

import dataclasses
from typing import Any

from pydantic import BaseModel, Field, create_model

from modules.processing import (
    StableDiffusionProcessingImg2Img,
    StableDiffusionProcessingTxt2Img,
)

_OWN = {
    "sampler_index": (str, "Euler"),
    "script_name": (str | None, None),
    "script_args": (list, []),
    "send_images": (bool, True),
    "save_images": (bool, False),
    "alwayson_scripts": (dict, {}),
    "infotext": (str | None, None),
}


def _model(name, kind, **more):
    fields = {
        field.name: (Any, Field(default=field.default))
        for field in dataclasses.fields(kind)
        if field.init
    }
    return create_model(name, **{**fields, **_OWN, **more})


StableDiffusionTxt2ImgProcessingAPI = _model("Txt2Img", StableDiffusionProcessingTxt2Img)
StableDiffusionImg2ImgProcessingAPI = _model(
    "Img2Img", StableDiffusionProcessingImg2Img, include_init_images=(bool, False)
)


class ScriptArg(BaseModel):
    value: Any | None = None


class ScriptInfo(BaseModel):
    name: str | None = None
    args: list[ScriptArg]
