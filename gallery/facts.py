"""Parameters as people read them: the well-known ones first, with their names."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["facts"]

# Parameters with names that people know, in the order in which they are shown.
_LABELS = {
    "checkpoint_name": "Checkpoint",
    "size": "Size",
    "steps": "Steps",
    "cfg_scale": "CFG scale",
    "distilled_cfg_scale": "Distilled CFG scale",
    "sampler_name": "Sampler",
    "scheduler": "Scheduler",
    "seed": "Seed",
    "subseed": "Variation seed",
    "subseed_strength": "Variation strength",
    "n_iter": "Batches",
    "batch_size": "Batch size",
    "denoising_strength": "Denoising",
    "clip_skip": "Clip skip",
    "vae": "VAE",
    "enable_hr": "Hires fix",
    "hr_scale": "Hires scale",
    "hr_upscaler": "Hires upscaler",
    "hr_second_pass_steps": "Hires steps",
    "upscaler": "Upscaler",
    "upscale_by": "Upscale by",
    "loras": "LoRAs",
    "init_images": "Start picture",
    "mask": "Mask",
    "refiner_checkpoint": "Refiner",
    "refiner_switch_at": "Refiner switch",
}
_UNSHOWN = {"positive_prompt", "negative_prompt", "kind"}
_LONG = 300


def facts(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the parameters as label and text, the well-known ones first."""
    if "width" in params and "height" in params:
        sides = {"size": f"{params['width']} × {params['height']}"}
        params = {**sides, **{k: v for k, v in params.items() if k not in ("width", "height")}}
    known = [(label, params[name]) for name, label in _LABELS.items() if name in params]
    rest = [
        (name.replace("_", " "), value)
        for name, value in params.items()
        if name not in _LABELS and name not in _UNSHOWN
    ]
    return [(label, _text(value)) for label, value in [*known, *rest] if value not in (None, "")]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        if "$input" in value:
            return f"{value.get('mime', 'file')}, {_size(value.get('bytes'))}"
        if set(value) == {"job", "image"}:
            return f"picture {value['image'] + 1} of the job {value['job']}"
        if set(value) <= {"name", "weight", "hash"} and "name" in value:
            return f"{value['name']} × {value.get('weight', 1)}"
        return _cut(", ".join(f"{key}: {_text(inner)}" for key, inner in value.items()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _cut(", ".join(_text(inner) for inner in value) or "none")
    return _cut(str(value))


def _size(count: object) -> str:
    if not isinstance(count, int):
        return "?"
    return f"{count / 1_048_576:.1f} MB" if count >= 1_048_576 else f"{count / 1024:.0f} kB"


def _cut(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"
