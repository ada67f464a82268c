"""From an infotext to the parameters of an order (contracts/api.md, "generation_params").

Nothing is dropped silently: what has no parameter is kept under `KEPT`, and what would have
changed the picture is named in a warning.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.infotext.structure import Infotext, Lora
from jobs.params import readers
from jobs.params.fields import BY_NAME
from jobs.params.readers import Reader, Refused

__all__ = ["KEPT", "PARAMETERS", "Understood", "understand"]

KEPT = "infotext_fields"

_WHERE = "generation_info_raw"
_MAX_NAMED = 20
_MAX_KEPT = 500
_LONGEST_SHOWN = 60
_LONGEST_NAME = 100

_any_number = readers.number(-1e6, 1e6)

# Fields whose text is the value of one parameter; the parameter's own reader checks it.
PARAMETERS = {
    "Steps": "steps",
    "Sampler": "sampler_name",
    "Schedule type": "scheduler",
    "CFG scale": "cfg_scale",
    "Distilled CFG Scale": "distilled_cfg_scale",
    "Seed": "seed",
    "Variation seed": "subseed",
    "Variation seed strength": "subseed_strength",
    "Denoising strength": "denoising_strength",
    "Clip skip": "clip_skip",
    "Tiling": "tiling",
    "VAE": "vae",
    "Hires upscale": "hr_scale",
    "Hires steps": "hr_second_pass_steps",
    "Hires upscaler": "hr_upscaler",
    "Hires CFG Scale": "hr_cfg",
    "Refiner": "refiner_checkpoint",
    "Refiner switch at": "refiner_switch_at",
    "Mask blur": "mask_blur",
    "Masked area padding": "inpaint_full_res_padding",
}

# The same for fields of the engines' own requests, which MobileSD passes through.
_PASSED: Mapping[str, tuple[str, Reader]] = {
    "Hires prompt": ("hr_prompt", readers.prompt),
    "Hires negative prompt": ("hr_negative_prompt", readers.prompt),
    "Hires checkpoint": ("hr_checkpoint_name", readers.name),
    "Hires sampler": ("hr_sampler_name", readers.name),
    "Hires schedule type": ("hr_scheduler", readers.name),
    "Hires Distilled CFG Scale": ("hr_distilled_cfg", readers.number(0, 100)),
    "Image CFG scale": ("image_cfg_scale", readers.number(0, 100)),
    "Eta": ("eta", _any_number),
    "NGMS": ("s_min_uncond", _any_number),
    "Sigma churn": ("s_churn", _any_number),
    "Sigma noise": ("s_noise", _any_number),
    "Sigma tmax": ("s_tmax", _any_number),
    "Sigma tmin": ("s_tmin", _any_number),
}

# Fields that say something about the picture, but ask for nothing: the prompt has the names of
# embeddings and the text of styles already, and a single picture of a batch is made by its seed.
_DESCRIBE = frozenset(
    name.casefold()
    for name in (
        *("Batch size", "Batch pos", "Created Date", "Civitai metadata", "Civitai resources"),
        *("Hashes", "Init image hash", "Lora hashes", "Model hash", "Negative Template", "Style"),
        *("Styles", "Template", "TI", "TI hashes", "User", "VAE hash", "Version"),
    )
)

_CHOICES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "masked content": (
        "inpainting_fill",
        {"fill": 0, "original": 1, "latent noise": 2, "latent nothing": 3},
    ),
    "inpaint area": ("inpaint_full_res", {"whole picture": False, "only masked": True}),
    "mask mode": (
        "inpainting_mask_invert",
        {"inpaint masked": 0, "inpaint not masked": 1},
    ),
}
_NO_FACE_RESTORATION = {"", "none", "false"}
_NOTHING = {"", "none", "automatic"}
_BUILT_IN = "built-in"

_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")
_MODULE = re.compile(r"(hires )?module \d{1,3}")
_CONTROLNET = re.compile(r"controlnet(?: \d{1,3})?")
_LOST_BREAKS = re.compile(r"\bSteps: \d{1,4}, Sampler: ")


@dataclass(frozen=True)
class Understood:
    """Parameters under canonical names, and a sentence for each thing that they don't hold."""

    params: dict[str, Any]
    warnings: tuple[str, ...]


@dataclass
class _Draft:
    params: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def take(self, param: str, read: Reader, name: str, value: str) -> None:
        """Read one field's text into a parameter, or keep the text and say why not."""
        try:
            self.params[param] = read(value)
        except Refused as refusal:
            self.kept[name] = value
            self.refused.append(f"{_short(name)} of {_WHERE} is left out: it {refusal}")


def understand(info: Infotext, given: Mapping[str, Any]) -> Understood:
    """Return what an infotext asks for, for an order that has `given` as parameters besides.

    `given` is only looked at for the pictures that an infotext can't hold.
    """
    draft = _Draft()
    fields = {name.casefold(): (name, value) for name, value in info.fields}  # the last one wins
    for key, (name, value) in fields.items():
        _take(key, name, value, draft)
    _take_checkpoint(info, draft)
    if any(key in fields for key in ("hires upscale", "hires upscaler", "hires resize")):
        draft.params["enable_hr"] = True
    if info.prompt:
        draft.params["positive_prompt"] = info.prompt
    if info.negative_prompt:
        draft.params["negative_prompt"] = info.negative_prompt
    if info.notes:
        draft.kept["Text behind the fields"] = info.notes
        draft.unused.append("the text behind the fields")
    if draft.kept:
        draft.params[KEPT] = dict(list(draft.kept.items())[:_MAX_KEPT])
    return Understood(draft.params, (*_warnings(info, draft), *_pictures(info, draft, given)))


def _take(key: str, name: str, value: str, draft: _Draft) -> None:
    if special := _SPECIAL.get(key):
        special(name, value, draft)
    elif found := _SIMPLE.get(key):
        draft.take(*found, name, value)
    elif match := _MODULE.fullmatch(key):
        _take_module(bool(match.group(1)), value, draft)
    elif key not in ("model", "model hash"):
        draft.kept[name[:_LONGEST_NAME]] = value  # a bare word may be of any length
        if key not in _DESCRIBE and not _CONTROLNET.fullmatch(key):
            draft.unused.append(_short(name))


def _take_size(name: str, value: str, draft: _Draft) -> None:
    match = _SIZE.fullmatch(value)
    # The engines round down themselves, but write what was asked for.
    sides = [int(side) // 8 * 8 for side in match.groups()] if match else []
    for_hires = name.casefold() == "hires resize"
    across, down = ("hr_resize_x", "hr_resize_y") if for_hires else ("width", "height")
    try:
        if not sides:
            raise Refused(f"must be like 512x768, but is “{value[:40]}”.")
        read = {across: BY_NAME[across].read(sides[0]), down: BY_NAME[down].read(sides[1])}
    except Refused as refusal:
        draft.kept[name] = value
        draft.refused.append(f"{_short(name)} of {_WHERE} is left out: it {refusal}")
        return
    draft.params |= read
    rounded = f"{sides[0]}x{sides[1]}"
    if rounded != value:
        draft.refused.append(f"{name} {value} of {_WHERE} is taken as {rounded}, in steps of 8.")


def _take_choice(name: str, value: str, draft: _Draft) -> None:
    param, choices = _CHOICES[name.casefold()]
    if value.casefold() in choices:
        draft.params[param] = choices[value.casefold()]
    else:
        draft.kept[name] = value
        draft.unused.append(_short(name))


def _take_faces(name: str, value: str, draft: _Draft) -> None:
    draft.params["restore_faces"] = value.casefold() not in _NO_FACE_RESTORATION


def _take_vae(name: str, value: str, draft: _Draft) -> None:
    if value.casefold() not in _NOTHING:
        draft.take("vae", BY_NAME["vae"].read, name, value)


def _take_module(for_hires: bool, value: str, draft: _Draft) -> None:
    modules = draft.params.setdefault(
        "hr_additional_modules" if for_hires else "additional_modules", []
    )
    if value.casefold() != _BUILT_IN and value:
        modules.append(value[: readers.MAX_NAME])


def _take_checkpoint(info: Infotext, draft: _Draft) -> None:
    """Name the checkpoint with its hash, which tells files of one name apart."""
    name, short = info.get("Model"), info.get("Model hash")
    if short:
        draft.take("model_hash", readers.name, "Model hash", short)
    wanted = f"{name} [{short}]" if name and _HASH.fullmatch(short) else name or short
    if wanted:
        draft.take("checkpoint_name", readers.name, "Model", wanted)


_HASH = re.compile(r"[0-9a-fA-F]{6,64}")

_SIMPLE: Mapping[str, tuple[str, Reader]] = {
    **{name.casefold(): (param, BY_NAME[param].read) for name, param in PARAMETERS.items()},
    **{name.casefold(): found for name, found in _PASSED.items()},
}
_SPECIAL: Mapping[str, Callable[[str, str, _Draft], None]] = {
    "size": _take_size,
    "hires resize": _take_size,
    "face restoration": _take_faces,
    "vae": _take_vae,
    **dict.fromkeys(_CHOICES, _take_choice),
}


def _warnings(info: Infotext, draft: _Draft) -> Iterator[str]:
    yield from _some(draft.refused, "more fields of {where} are left out as well.")
    if draft.unused:
        shown = ", ".join(draft.unused[:_MAX_NAMED])
        more = f" and {len(draft.unused) - _MAX_NAMED} more" if draft.unused[_MAX_NAMED:] else ""
        yield f"Kept with the job, but without an effect on it ({_WHERE}): {shown}{more}."
    if len(draft.kept) > _MAX_KEPT:
        yield f"{_WHERE} has {len(draft.kept)} unknown fields. The first {_MAX_KEPT} are kept."
    counts = Counter(name.casefold() for name, _ in info.fields)
    if twice := [name for name, _ in info.fields if counts[name.casefold()] > 1]:
        yield f"{_short(twice[0])} is in {_WHERE} more than once. The last one is used."
    lost = [lora for lora in info.loras if not lora.in_prompt]
    yield from _some([_without_tag(lora) for lora in lost], "more LoRAs are left out as well.")
    if not info.fields and _LOST_BREAKS.search(info.prompt):
        yield f"{_WHERE} seems to have lost its line breaks: all of it is taken as the prompt."


def _pictures(info: Infotext, draft: _Draft, given: Mapping[str, Any]) -> Iterator[str]:
    """Say which pictures the job lacks: an infotext never holds any."""
    scripts = given.get("alwayson_scripts")
    named = {str(name).casefold() for name in scripts} if isinstance(scripts, Mapping) else set()
    if info.controlnet_units and "controlnet" not in named:
        units = [unit.get("Model") or unit.get("Module") for unit in info.controlnet_units]
        shown = ", ".join(_short(name or "?") for name in units[:_MAX_NAMED])
        yield (
            f"ControlNet ({shown}) is left out: its picture is not in {_WHERE}."
            " Send it as generation_params.alwayson_scripts.ControlNet."
        )
    from_picture = {"denoising_strength", "mask_blur"} & set(draft.params)
    second_pass = draft.params.get("enable_hr") or given.get("enable_hr")
    if from_picture and not second_pass and not given.get("init_images"):
        yield (
            f"{_WHERE} is of a picture that was made from another one, which is not in it."
            " Send that as generation_params.init_images, or the new one is made from text alone."
        )


def _without_tag(lora: Lora) -> str:
    return (
        f"The LoRA {_short(lora.name)} is left out: no prompt names it, so its weight is unknown."
    )


def _some(sentences: list[str], rest: str) -> Iterator[str]:
    yield from sentences[:_MAX_NAMED]
    if len(sentences) > _MAX_NAMED:
        yield f"{len(sentences) - _MAX_NAMED} {rest.format(where=_WHERE)}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
