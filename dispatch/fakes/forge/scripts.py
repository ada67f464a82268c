"""Scripts of a request: which names exist, and the one always-on script that adds pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dispatch.fakes.forge import pictures
from dispatch.fakes.forge.errors import RequestRefused
from dispatch.fakes.forge.recorded import recorded

_SELECTABLE = frozenset(
    {
        "img2img alternative test",
        "loopback",
        "outpainting mk2",
        "poor man's outpainting",
        "prompt matrix",
        "prompts from file or textbox",
        "sd upscale",
        "x/y/z plot",
    }
)
_RESIZE_MODES = {"Just Resize": "RESIZE", "Resize and Fill": "OUTER_FIT"}
_CONTROL_MODES = {
    "My prompt is more important": "PROMPT",
    "ControlNet is more important": "CONTROL",
}
_HR_OPTIONS = {"Low res only": "LOW_RES_ONLY", "High res only": "HIGH_RES_ONLY"}


def check_scripts(kind: str, request: dict[str, Any], extra: tuple[str, ...]) -> None:
    """Raise RequestRefused 422 for a script that this server lacks; `extra` are further ones."""
    titles = {*recorded("scripts")[kind], *extra}
    selected = request["script_name"]
    if selected and selected.lower() not in titles & _SELECTABLE:
        raise RequestRefused(422, f"Script '{selected}' not found")
    for name in request["alwayson_scripts"]:
        if name.lower() not in titles:
            raise RequestRefused(422, f"Script '{name}' not found")
        if name.lower() in _SELECTABLE:
            message = "Cannot have a selectable script in the always on scripts params"
            raise RequestRefused(422, message)


@dataclass(frozen=True)
class ControlNetUnit:
    """An enabled unit with a picture."""

    values: dict[str, Any]
    picture: str

    @property
    def infotext(self) -> str:
        """Return what the infotext says of it (txt2img/alwayson-controlnet-on-no-model)."""
        get = self.values.get
        parts = {
            "Module": get("module", "None"),
            "Model": get("model", "None"),
            "Weight": float(get("weight", 1)),
            "Resize Mode": "ResizeMode." + _RESIZE_MODES.get(str(get("resize_mode")), "INNER_FIT"),
            "Guidance Start": float(get("guidance_start", 0)),
            "Guidance End": float(get("guidance_end", 1)),
            "Pixel Perfect": bool(get("pixel_perfect", False)),
            "Control Mode": "ControlMode."
            + _CONTROL_MODES.get(str(get("control_mode")), "BALANCED"),
            "Hr Option": "HiResFixOption." + _HR_OPTIONS.get(str(get("hr_option")), "BOTH"),
        }
        return ", ".join(f"{name}: {value}" for name, value in parts.items())


def controlnet_units(alwayson: dict[str, Any]) -> Iterator[tuple[int, ControlNetUnit]]:
    """Yield the units that do something, with their index.

    Errors inside an always-on script are swallowed by Forge: a unit without a readable
    picture simply does nothing.
    """
    for name, script in alwayson.items():
        if name.lower() != "controlnet" or not isinstance(script, dict):
            continue
        for index, unit in enumerate(script.get("args") or []):
            if not isinstance(unit, dict) or not unit.get("enabled"):
                continue
            try:
                picture = pictures.recode(unit.get("image"))
            except RequestRefused:
                continue
            yield index, ControlNetUnit(unit, picture)


def detected_maps(alwayson: dict[str, Any]) -> list[str]:
    """Return the pictures that ControlNet adds to an answer, without infotexts."""
    return [unit.picture for _, unit in controlnet_units(alwayson)]


def less_memory(request: dict[str, Any]) -> bool:
    """Tell whether the built-in script against too little memory has its VAE switch on."""
    for name, script in request["alwayson_scripts"].items():
        if name.lower() == "never oom integrated" and isinstance(script, dict):
            args = script.get("args") or []
            return len(args) > 1 and bool(args[1])
    return False
