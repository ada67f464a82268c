"""Reading Forge's answer, and comparing what was done with what was asked.

Forge falls back silently: an unknown checkpoint, sampler, scheduler or LoRA is answered 200
(contracts/forge.md); only `info` tells.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from dispatch.dispatchers.base import Answer, BackendError, ErrorClass, LostAnswer, Picture, Request
from dispatch.dispatchers.forge import fallbacks
from dispatch.dispatchers.forge.untrusted import parse, storable, text
from dispatch.inventory import ServerInventory

__all__ = ["bounded", "read"]

MAX_PICTURES = 1000
_MAX_INFO_CHARACTERS = 128 * 1024  # a job's row stays small (design §4)
_LONGEST_FIRST = (
    "infotexts",
    "all_prompts",
    "all_negative_prompts",
    "extra_generation_params",
    "prompt",
    "negative_prompt",
)
_KEPT = (
    "prompt",
    "negative_prompt",
    "all_prompts",
    "all_negative_prompts",
    "seed",
    "all_seeds",
    "subseed",
    "width",
    "height",
    "sampler_name",
    "cfg_scale",
    "steps",
    "sd_model_name",
    "sd_model_hash",
    "sd_vae_name",
    "denoising_strength",
    "clip_skip",
    "extra_generation_params",
    "version",
)


def read(body: Any, request: Request, inventory: ServerInventory | None) -> Answer:
    """Return the answer; raises BackendError if there are no pictures, LostAnswer if unreadable."""
    try:
        info = storable(parse(body["info"]))
        infotexts = [str(infotext) for infotext in _list(info["infotexts"])]
        pictures = _pictures(_list(body["images"]), info, infotexts)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LostAnswer(
            "The server's answer can't be read.",
            code="bad_answer",
            hint="Is this address really the image server? Test the connection.",
        ) from error
    if not pictures:
        raise BackendError(
            ErrorClass.TRANSIENT,
            "no_images",
            "The server answered without a picture.",
            "Look at the server's console. The job is tried again.",
        )
    rejected = fallbacks.wrong_checkpoint(info, request, inventory)
    return Answer(
        pictures=pictures,
        generation_info=_generation_info(info, infotexts, len(pictures)),
        warnings=[*request.warnings, *fallbacks.warnings(info, infotexts, request, inventory)],
        checkpoint=fallbacks.used_checkpoint(info, request, inventory, rejected=bool(rejected)),
        rejected=rejected,
    )


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("no list")
    return value


def _pictures(
    images: Sequence[Any], info: Mapping[str, Any], infotexts: Sequence[str]
) -> list[Picture]:
    """Leave out the grid before the results and ControlNet's maps behind them.

    Seeds have no entry for the grid, infotexts have; maps have neither.
    """
    first = info.get("index_of_first_image", 0)
    if first < 0:
        raise ValueError("no index")
    seeds = _list(info.get("all_seeds") or [])
    results = images[first : len(infotexts)]
    if len(results) > MAX_PICTURES:
        raise ValueError("too many pictures")
    return [
        Picture(
            data=base64.b64decode(image.partition(",")[2] or image, validate=True),
            infotext=infotexts[first + index],
            seed=_seed(seeds[index]) if index < len(seeds) else None,
        )
        for index, image in enumerate(results)
    ]


def _seed(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _generation_info(
    info: Mapping[str, Any], infotexts: Sequence[str], count: int
) -> dict[str, Any]:
    kept = {key: info[key] for key in _KEPT if key in info}
    return bounded({**kept, "infotexts": list(infotexts), "image_count": count})


def bounded(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return a generation_info without what would make a job's row too large."""
    kept = dict(info)
    for name in _LONGEST_FIRST:
        if len(json.dumps(kept)) <= _MAX_INFO_CHARACTERS:
            return kept
        kept.pop(name, None)
    return {
        "image_count": info["image_count"],
        "version": text(info.get("version") or "", 100),
    }
