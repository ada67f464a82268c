"""From what a client sent to what is stored: canonical names, checked values, nothing lost.

Reversible: a dispatcher maps canonical names back to its engine's, and every other value is
stored as it came. The only values made up here are seeds.
"""

import difflib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.choices import Kind
from jobs.params import bounds
from jobs.params.fields import BY_NAME, Field, checkpoint_key
from jobs.params.known import PASSED_THROUGH, scheduler_label
from jobs.params.readers import Refused
from mobilesd.errors import InvalidInput

__all__ = ["Normalised", "normalise"]

WHERE = "generation_params"
MAX_IMAGES = 64
MAX_AREA = 64_000_000
_SEEDS = 2**32  # the range from which the engines themselves draw
_DEFAULT_SIZE = 512  # what the engines take when no size is given
_MAX_UNKNOWN_SHOWN = 20
# What an upscale job makes use of; the prompt is only what it is called by.
_OF_UPSCALE = {"kind", "init_images", "upscaler", "upscale_by", "positive_prompt"}


@dataclass(frozen=True)
class Normalised:
    """Checked parameters under canonical names, and what follows from them."""

    params: dict[str, Any]
    kind: str
    checkpoint: str
    images_wanted: int
    warnings: list[str]


@dataclass
class _Draft:
    """The parameters in the making; collects all problems, so that one answer names them all."""

    params: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def refuse(self, sentence: str, *names: str) -> None:
        for name in names:
            self.problems.setdefault(f"{WHERE}.{name}", []).append(sentence)

    def get(self, name: str, default: Any) -> Any:
        return self.params.get(name, default)


def normalise(raw: Mapping[str, Any], *, app_type: str) -> Normalised:
    """Check the parameters of an order and bring them to canonical names (contracts/api.md).

    Draws the seed, so that a retry makes the same picture. Idempotent on its own result. Raises
    InvalidInput that names every wrong field.
    """
    if not isinstance(raw, Mapping):
        raise InvalidInput(
            f"{WHERE} must be an object.", fields={WHERE: [f"{WHERE} must be an object."]}
        )
    bounds.check(raw, WHERE)
    given = {key: value for key, value in raw.items() if value is not None}
    if not given:
        raise _empty()
    draft = _Draft()
    _take_fields(given, draft)
    kind = _take_kind(draft)
    if kind == Kind.UPSCALE:
        _check_upscale(draft)
    else:
        _take_checkpoint(draft)
        _check_together(draft)
    if draft.problems:
        raise _invalid(draft.problems)
    params = draft.params
    if kind != Kind.UPSCALE:
        _draw_seeds(draft)
    draft.warnings += _unknown(params, app_type)
    is_upscale = kind == Kind.UPSCALE
    return Normalised(
        params=params,
        kind=kind,
        # An upscaler needs no checkpoint: a server that lacks the one named can do it as well.
        checkpoint="" if is_upscale else params.get("checkpoint_name", ""),
        images_wanted=1 if is_upscale else params.get("batch_size", 1) * params.get("n_iter", 1),
        warnings=draft.warnings,
    )


def _take_kind(draft: _Draft) -> Kind:
    """Return what is to be done; only "upscale" has to be said, and stays with the parameters."""
    said = draft.get("kind", "")
    if said == Kind.UPSCALE:
        return Kind.UPSCALE
    draft.params.pop("kind", None)
    found = Kind.IMG2IMG if _has_pictures(draft) else Kind.TXT2IMG
    if said == Kind.TXT2IMG != found:
        draft.refuse(
            "kind is txt2img, but init_images has a picture to start from. Leave one of them out.",
            "kind",
            "init_images",
        )
    elif said == Kind.IMG2IMG != found:
        draft.refuse("kind is img2img, which needs a picture. Add init_images.", "init_images")
    idle = [name for name in ("upscaler", "upscale_by") if name in draft.params]
    if idle:
        draft.warnings.append(
            f"{' and '.join(idle)} {'has' if len(idle) == 1 else 'have'} no effect in this job."
            ' Say "kind": "upscale" to make a picture larger.'
        )
    return found


def _has_pictures(draft: _Draft) -> bool:
    return "init_images" in draft.params or f"{WHERE}.init_images" in draft.problems


def _check_upscale(draft: _Draft) -> None:
    params = draft.params
    pictures = params.get("init_images", [])
    if not _has_pictures(draft):
        draft.refuse("init_images is missing: say which picture to make larger.", "init_images")
    elif len(pictures) > 1:
        draft.refuse(
            f"init_images has {len(pictures)} pictures. An upscale job takes one:"
            " send a job for each.",
            "init_images",
        )
    if "upscaler" not in params and "hr_upscaler" in params:
        params["upscaler"] = params.pop("hr_upscaler")  # also called upscaler_model
    if not params.get("upscaler") and f"{WHERE}.upscaler" not in draft.problems:
        draft.refuse("upscaler is missing: say which one is to make it larger.", "upscaler")
    if params.get("seed") == -1:
        del params["seed"]  # nothing is drawn: the same picture comes out each time
    idle = [name for name in params if name in BY_NAME and name not in _OF_UPSCALE]
    if idle:
        shown = ", ".join(idle[:_MAX_UNKNOWN_SHOWN])
        draft.warnings.append(
            f"{shown} {'has' if len(idle) == 1 else 'have'} no effect in an upscale job."
        )


def _take_fields(given: Mapping[str, Any], draft: _Draft) -> None:
    taken_as: dict[str, str] = {}
    for name, value in given.items():
        known, value = _field_of(name, value)
        if known is None:
            draft.params[name] = value
            continue
        try:
            value = known.read(value)
        except Refused as refusal:
            draft.refuse(f"{name} {refusal}", name)
            continue
        other = taken_as.setdefault(known.name, name)
        if other == name:
            draft.params[known.name] = value
        elif known.key(draft.params[known.name]) != known.key(value):
            draft.refuse(
                f"{other} and {name} are two names of one parameter, with different values."
                f" Send only {known.name}.",
                other,
                name,
            )


def _field_of(name: str, value: Any) -> tuple[Field | None, Any]:
    """Return the field that a name means here, with its value; None for an unknown one."""
    if name == "scheduler_or_quality_preset" and isinstance(value, str):
        label = scheduler_label(value)
        return (BY_NAME["scheduler"], label) if label else (None, value)
    return BY_NAME.get(name), value


def _take_checkpoint(draft: _Draft) -> None:
    """Take the checkpoint from the override settings, where engines' own clients put it."""
    overrides = draft.get("override_settings", {})
    name = "override_settings.sd_model_checkpoint"
    override = overrides.get("sd_model_checkpoint")
    if override is None:
        return
    try:
        override = BY_NAME["checkpoint_name"].read(override)
    except Refused as refusal:
        draft.refuse(f"{name} {refusal}", name)
        return
    named = draft.get("checkpoint_name", "")
    if not named and override:
        draft.params["checkpoint_name"] = override
    elif override and checkpoint_key(named) != checkpoint_key(override):
        draft.refuse(
            f"checkpoint_name and {name} name different checkpoints. Send only checkpoint_name.",
            "checkpoint_name",
            name,
        )


def _check_together(draft: _Draft) -> None:
    """Check what only shows in several values at once."""
    sizes, runs = draft.get("batch_size", 1), draft.get("n_iter", 1)
    if sizes * runs > MAX_IMAGES:
        draft.refuse(
            f"batch_size × n_iter is {sizes * runs} pictures. The limit is {MAX_IMAGES} a job:"
            " send several jobs.",
            "batch_size",
            "n_iter",
        )
    width, height = draft.get("width", _DEFAULT_SIZE), draft.get("height", _DEFAULT_SIZE)
    has_pictures = _has_pictures(draft)
    if width * height > MAX_AREA:
        draft.refuse(f"{_megapixels(width, height)} Make it smaller.", "width", "height")
    elif draft.get("enable_hr", False):
        if has_pictures:
            draft.warnings.append("enable_hr works in txt2img only. It has no effect in this job.")
        else:
            _check_hires(width, height, draft)
    if "mask" in draft.params and not has_pictures:
        draft.refuse(
            "mask needs a picture that it belongs to. Add init_images, or leave mask out.", "mask"
        )
    overrides = draft.get("override_settings", {})
    skip = overrides.get("CLIP_stop_at_last_layers")
    if skip is not None and skip != draft.get("clip_skip", skip):
        draft.refuse(
            "clip_skip and override_settings.CLIP_stop_at_last_layers differ. Send only clip_skip.",
            "clip_skip",
            "override_settings.CLIP_stop_at_last_layers",
        )


def _check_hires(width: int, height: int, draft: _Draft) -> None:
    across, down = draft.get("hr_resize_x", 0), draft.get("hr_resize_y", 0)
    scale = draft.get("hr_scale", 2)
    if across or down:
        across, down = across or width * down / height, down or height * across / width
        names = ["hr_resize_x", "hr_resize_y"]
    else:
        across, down = width * scale, height * scale
        names = ["hr_scale"]
    if not across:
        draft.refuse(
            "hr_scale is 0 and no hr_resize_x or hr_resize_y is given. Send one of them.", *names
        )
    elif across * down > MAX_AREA:
        draft.refuse(f"After hires fix, {_megapixels(across, down)} Make it smaller.", *names)


def _megapixels(width: float, height: float) -> str:
    return f"{width:g} × {height:g} is {width * height / 1e6:.1f} megapixels, the limit is 64."


def _draw_seeds(draft: _Draft) -> None:
    params = draft.params
    if params.get("seed", -1) == -1:
        params["seed"] = secrets.randbelow(_SEEDS)
    # Without strength a subseed changes nothing, so what the client sent stays as it is.
    if params.get("subseed_strength", 0) > 0 and params.get("subseed", -1) == -1:
        params["subseed"] = secrets.randbelow(_SEEDS)


def _unknown(params: Mapping[str, Any], app_type: str) -> Iterator[str]:
    unknown = [name for name in params if name not in BY_NAME and name not in PASSED_THROUGH]
    for name in unknown[:_MAX_UNKNOWN_SHOWN]:
        shown = name if len(name) <= 60 else f"{name[:60]}…"
        meant = difflib.get_close_matches(name[:60].lower(), BY_NAME, n=1, cutoff=0.8)
        guess = f" Did you mean {meant[0]}?" if meant else ""
        yield (
            f"{shown} is not a parameter that MobileSD knows for {app_type} jobs."
            f" It is kept and passed on as it is.{guess}"
        )
    if len(unknown) > _MAX_UNKNOWN_SHOWN:
        yield f"{len(unknown) - _MAX_UNKNOWN_SHOWN} more unknown parameters are kept as well."


def _empty() -> InvalidInput:
    sentence = f"{WHERE} is empty. Send at least positive_prompt."
    return InvalidInput(sentence, error="missing_required_field", fields={WHERE: [sentence]})


def _invalid(problems: Mapping[str, list[str]]) -> InvalidInput:
    sentences = list(dict.fromkeys(s for found in problems.values() for s in found))
    message = " ".join(sentences[:3])
    if len(sentences) > 3:
        message += f" {len(sentences) - 3} more values can't be taken."
    return InvalidInput(
        message, fields=problems, hint="Correct the named fields and send the order again."
    )
