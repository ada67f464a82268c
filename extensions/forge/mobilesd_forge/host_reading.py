"""What Generate would run, read off Forge without running it.

Everything of Forge's that is used here is looked for first: a fork that lacks it gets a sentence
in the log and no button, never a broken page.
"""

import importlib
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mobilesd_forge.capture import (
    Surroundings,
    generation_params,
    img2img_pictures,
    img2img_size,
)

__all__ = ["READERS", "Missing", "check", "shown_name"]

_NO_INPUT = ("id_task", "request")


class Missing(Exception):
    """This Forge lacks something; the text is its name."""


def check(tab: str) -> str:
    """Return what this Forge lacks to read a tab, or nothing."""
    try:
        _fields(tab)
        _runner(tab)
        if tab == "txt2img":
            _create_txt2img()
        else:
            _img2img_function()
            _img2img_class()
    except Missing as missing:
        return str(missing)
    return ""


def _txt2img(
    click_id: str, request: Any, values: Sequence[Any], skip: Iterable[str]
) -> dict[str, Any]:
    p = _create_txt2img()(click_id, request, *values)
    return generation_params(p, _runner("txt2img"), _fields("txt2img"), _surroundings(), skip=skip)


def _img2img(
    click_id: str, request: Any, values: Sequence[Any], skip: Iterable[str]
) -> dict[str, Any]:
    """Read img2img: Forge has no function there that builds the object without running it."""
    names = [
        name
        for name, parameter in inspect.signature(_img2img_function()).parameters.items()
        if name not in _NO_INPUT and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    named = dict(zip(names, values, strict=False))  # the rest are scripts' inputs
    image, mask = img2img_pictures(int(named["mode"] or 0), named)
    width, height = img2img_size(named, image)
    named |= {
        "width": width,
        "height": height,
        "styles": named.get("prompt_styles"),
        "init_images": [image],
        "mask": mask,
        "override_settings": _overrides(named.get("override_settings_texts")),
    }
    kind = _img2img_class()
    taken = inspect.signature(kind).parameters
    p = kind(**{name: value for name, value in named.items() if name in taken})
    p.scripts = _runner("img2img")
    p.script_args = tuple(values[len(names) :])  # runs the scripts' setup(): steps, sampler, seed
    return generation_params(
        p,
        _runner("img2img"),
        _fields("img2img"),
        _surroundings(),
        init_image=image,
        mask=mask,
        skip=skip,
    )


READERS: dict[str, Callable[..., dict[str, Any]]] = {"txt2img": _txt2img, "img2img": _img2img}


def shown_name(option: str) -> str:
    """Return what Forge's page and infotext call an option, such as RNG for randn_source."""
    shared = importlib.import_module("modules.shared")
    info = getattr(shared.opts, "data_labels", {}).get(option)
    return str(getattr(info, "infotext", None) or option)


def _of(module: str, *names: str) -> Any:
    """Return the first of these names that a module of Forge's has."""
    try:
        found = importlib.import_module(module)
    except ImportError:
        raise Missing(module) from None
    for name in names:
        if (value := getattr(found, name, None)) is not None:
            return value
    raise Missing(f"{module}.{names[0]}")


def _create_txt2img() -> Any:
    return _of("modules.txt2img", "txt2img_create_processing")


def _img2img_function() -> Any:
    return _of("modules.img2img", "img2img_function", "img2img")


def _img2img_class() -> Any:
    return _of("modules.processing", "StableDiffusionProcessingImg2Img")


def _runner(tab: str) -> Any:
    return _of("modules.scripts", f"scripts_{tab}")


def _fields(tab: str) -> list[str]:
    kind = "Txt2Img" if tab == "txt2img" else "Img2Img"
    model = _of("modules.api.models", f"StableDiffusion{kind}ProcessingAPI")
    return list(getattr(model, "model_fields", None) or model.__fields__)


def _overrides(texts: Any) -> dict[str, Any]:
    if not texts:
        return {}
    create = _of("modules.infotext_utils", "create_override_settings_dict")
    return dict(create(texts))


def _surroundings() -> Surroundings:
    shared = importlib.import_module("modules.shared")
    styles = getattr(shared, "prompt_styles", None)
    return Surroundings(
        option=lambda name: getattr(shared.opts, name, None),
        with_styles=getattr(styles, "apply_styles_to_prompt", None),
        with_negative_styles=getattr(styles, "apply_negative_styles_to_prompt", None),
    )
