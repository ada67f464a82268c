"""A job of several rounds (`n_iter`) as orders of their own, which make the same pictures.

Forge counts its seeds up over all rounds: picture k has seed + k, or the seed itself and
subseed + k where the subseed has any strength. So the pictures from k on are an order with these
counted up by k. Whatever else differs from round to round is not cut: the pictures must not depend
on whether somebody else needed the server in between.
"""

import re
from collections.abc import Mapping
from typing import Any

from dispatch.dispatchers.base import Part

__all__ = ["part"]

# Always-on scripts that do the same in each round: built-in ones, and ADetailer, which takes for
# each picture its own seed and prompt. Of any other that is not known.
_SAME_IN_ALL = {
    "adetailer",
    "dynamicthresholding (cfg-fix) integrated",
    "freeu integrated (sd 1.x, sd 2.x, sdxl)",
    "kohya hrfix integrated",
    "multidiffusion integrated",
    "never oom integrated",
    "perturbedattentionguidance integrated",
    "refiner",
    "sampler",
    "seed",
    "selfattentionguidance integrated (sd 1.x, sd 2.x, sdxl)",
    "soft inpainting",
    "stylealign integrated",
}
_CONTROLNET = "controlnet"
# Preprocessors that draw numbers by the job's first seed.
_DRAWS = re.compile(r"shuffle|reference|random", re.IGNORECASE)
_PROMPTS = ("positive_prompt", "negative_prompt", "hr_prompt", "hr_negative_prompt")
# What extensions replace by other words in each picture: {one|another}, __file__.
_REPLACED = re.compile(r"\{|__")
_NETWORK = re.compile(r"<[^<>]*>")
_LATENT_NOISE = 2


def part(kind: str, params: Mapping[str, Any], made: int, *, whole: bool) -> Part | None:
    """Return what makes the next pictures after so many: one round, or all the rest (`whole`)."""
    size, rounds = params.get("batch_size", 1), params.get("n_iter", 1)
    if not _whole_number(size) or not _whole_number(rounds) or not _can_be_cut(kind, params):
        return None
    left = size * rounds - made
    if left < 1 or (not made and (whole or rounds == 1)):
        return None
    # After a batch that was made smaller for want of memory, the rest may be less than a batch.
    size = min(size, left)
    rounds = left // size if whole else 1
    return Part(
        {**params, "batch_size": size, "n_iter": rounds, **_counted_up(params, made)},
        size * rounds,
    )


def _whole_number(value: Any) -> bool:
    return type(value) is int and value >= 1


def _counted_up(params: Mapping[str, Any], made: int) -> dict[str, int]:
    """Return the seeds of the picture after so many."""
    seeds = {} if _strength(params) else {"seed": params["seed"] + made}
    if _is_seed(params.get("subseed")):
        seeds["subseed"] = params["subseed"] + made
    return seeds


def _strength(params: Mapping[str, Any]) -> Any:
    return params.get("subseed_strength") or 0


def _is_seed(value: Any) -> bool:
    return type(value) is int and value >= 0


def _can_be_cut(kind: str, params: Mapping[str, Any]) -> bool:
    if kind not in ("txt2img", "img2img") or not _is_seed(params.get("seed")):
        return False
    if _strength(params) and not _is_seed(params.get("subseed")):
        return False
    # Several init images are dealt out to the places of a batch. The noise in the hole of a mask
    # is that of the first round in all of them. What is saved there has a sheet of all pictures.
    if len(params.get("init_images") or ()) > 1 or params.get("save_images"):
        return False
    if params.get("mask") is not None and params.get("inpainting_fill") == _LATENT_NOISE:
        return False
    if any(_REPLACED.search(_NETWORK.sub("", str(params.get(name) or ""))) for name in _PROMPTS):
        return False
    return not params.get("script_name") and _scripts_do_the_same(params.get("alwayson_scripts"))


def _scripts_do_the_same(scripts: Any) -> bool:
    if not scripts:
        return True
    if not isinstance(scripts, Mapping):
        return False
    return all(
        name.lower() in _SAME_IN_ALL or (name.lower() == _CONTROLNET and _is_still(script))
        for name, script in scripts.items()
    )


def _is_still(script: Any) -> bool:
    """Tell whether all units of ControlNet start from one picture each, and draw nothing."""
    units = script.get("args") if isinstance(script, Mapping) else None
    return isinstance(units, list) and all(
        isinstance(unit, Mapping)
        and str(unit.get("input_mode") or "simple").lower() == "simple"
        and not _DRAWS.search(str(unit.get("module") or ""))
        for unit in units
    )
