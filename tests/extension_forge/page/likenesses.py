"""What Forge hands over, built by hand: arrays, scripts, a runner, a processing object."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mobilesd_forge.capture import Surroundings
from PIL import Image

RECORDINGS = Path(__file__).parent / "recordings"
NO_STYLES = Surroundings(option=lambda name: None)


def recorded(name: str) -> dict[str, Any]:
    """Return a capture from a real Forge."""
    found: dict[str, Any] = json.loads((RECORDINGS / name).read_text())
    return found


class Array:
    """As much of an array as pictures have, so that numpy need not be installed."""

    def __init__(self, picture: Image.Image) -> None:
        self._picture = picture
        bands = len(picture.getbands())
        self.shape: tuple[int, ...] = (picture.height, picture.width, *([bands] * (bands > 1)))
        self.size = picture.height * picture.width * bands

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return {"shape": self.shape, "typestr": "|u1", "version": 3}

    def tobytes(self) -> bytes:
        return self._picture.tobytes()


class Numbers:
    """An array of numbers that is no picture."""

    def __init__(self, values: list[float]) -> None:
        self._values = values
        self.shape = (len(values),)
        self.size = len(values)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return {"shape": self.shape, "typestr": "<f8", "version": 3}

    def tolist(self) -> list[float]:
        return self._values


class Scripts:
    """A runner; `always` are titles with the arguments of the page, defaults beside them."""

    def __init__(self) -> None:
        self.alwayson_scripts: list[Any] = []
        self.selectable_scripts: list[Any] = []
        self.args: list[Any] = [0]

    def add(
        self, title: str, args: list[Any], defaults: list[Any] | None = None, *, always: bool = True
    ) -> None:
        begin = len(self.args)
        self.args += args
        info = None
        if defaults is not None:
            info = SimpleNamespace(args=[SimpleNamespace(value=value) for value in defaults])
        script = SimpleNamespace(
            title=lambda: title, args_from=begin, args_to=len(self.args), api_info=info
        )
        (self.alwayson_scripts if always else self.selectable_scripts).append(script)


def processing(runner: Scripts, **fields: Any) -> Any:
    """Return a processing object with these fields; `override_settings` is empty by default."""
    base = {"prompt": "a fox", "negative_prompt": "", "styles": [], "override_settings": {}}
    return SimpleNamespace(**{**base, **fields}, script_args=tuple(runner.args))
