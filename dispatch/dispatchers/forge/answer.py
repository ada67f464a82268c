"""Reading Forge's answer, and comparing what was done with what was asked.

Forge falls back silently: an unknown checkpoint, sampler, scheduler or LoRA is answered 200
(contracts/forge.md); only `info` tells.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from dispatch.dispatchers.base import Answer, BackendError, ErrorClass, LostAnswer, Picture, Request
from dispatch.inventory import ServerInventory
from models_catalog.resolve import resolve

__all__ = ["read"]

_SCHEDULE = re.compile(r"(?:^|, )Schedule type: ([^,]+)")


def read(body: Any, request: Request, inventory: ServerInventory | None) -> Answer:
    """Return the answer; raises BackendError if there are no pictures, LostAnswer if unreadable."""
    try:
        info = json.loads(body["info"])
        infotexts = [str(text) for text in info["infotexts"]]
        first = int(info.get("index_of_first_image", 0))
        seeds = list(info.get("all_seeds") or [])
        encoded = body["images"][first : len(infotexts)]
        pictures = [
            Picture(
                data=base64.b64decode(image.partition(",")[2] or image, validate=True),
                infotext=infotexts[first + index],
                seed=seeds[index] if index < len(seeds) else None,
            )
            for index, image in enumerate(encoded)
        ]
    except (AttributeError, KeyError, TypeError, ValueError, binascii.Error) as error:
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
    return Answer(
        pictures=pictures,
        generation_info=_generation_info(info, infotexts, len(pictures)),
        warnings=[*request.warnings, *_fallbacks(info, infotexts, request, inventory)],
        checkpoint=_checkpoint_name(info, inventory),
        rejected=_wrong_checkpoint(info, request, inventory),
    )


def _generation_info(
    info: Mapping[str, Any], infotexts: Sequence[str], count: int
) -> dict[str, Any]:
    kept = (
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
    kept_info = {key: info[key] for key in kept if key in info}
    return {**kept_info, "infotexts": list(infotexts), "image_count": count}


def _checkpoint_name(info: Mapping[str, Any], inventory: ServerInventory | None) -> str:
    """Return the checkpoint that was used, in the server's listed spelling where it is known."""
    name, short = str(info.get("sd_model_name") or ""), str(info.get("sd_model_hash") or "")
    if inventory is None:
        return name
    known = (resolve(short, inventory.checkpoints) if short else None) or resolve(
        name, inventory.checkpoints
    )
    return known.name if known else name


def _wrong_checkpoint(
    info: Mapping[str, Any], request: Request, inventory: ServerInventory | None
) -> BackendError | None:
    wanted = request.checkpoint
    used = str(info.get("sd_model_name") or "")
    if not wanted or not used:
        return None
    known = resolve(wanted, inventory.checkpoints) if inventory else None
    short = str(info.get("sd_model_hash") or "")
    if known and known.short_hash and short:
        same = known.short_hash == short
    else:
        stem = PurePosixPath((known.name if known else wanted).replace("\\", "/")).stem
        names = {stem.lower(), *(n.lower() for n in (known.other_names if known else ()))}
        same = used.lower() in names
    if same:
        return None
    return BackendError(
        ErrorClass.ELSEWHERE,
        "wrong_checkpoint",
        f"The server used the checkpoint {used} instead of {wanted}.",
        "Refresh the checkpoint list on the server, or choose another server.",
    )


def _fallbacks(
    info: Mapping[str, Any],
    infotexts: Sequence[str],
    request: Request,
    inventory: ServerInventory | None,
) -> list[str]:
    aliases = inventory.aliases if inventory else {}
    warnings = []
    asked_sampler, asked_scheduler = _split_sampler(
        str(request.asked.get("sampler") or ""), str(request.asked.get("scheduler") or ""), aliases
    )
    used_sampler = str(info.get("sampler_name") or "")
    if asked_sampler and used_sampler and _differs(asked_sampler, used_sampler, "sampler", aliases):
        warnings.append(f"The server used the sampler {used_sampler} instead of {asked_sampler}.")
    match = _SCHEDULE.search(infotexts[-1].rpartition("\n")[2])
    used_scheduler = match.group(1).strip() if match else ""
    if (
        asked_scheduler
        and used_scheduler
        and _differs(asked_scheduler, used_scheduler, "scheduler", aliases)
    ):
        warnings.append(
            f"The server used the scheduler {used_scheduler} instead of {asked_scheduler}."
        )
    used_loras = _used_loras(info)
    warnings += [
        f"The server did not use the LoRA {name}."
        for name in request.asked.get("loras", ())
        if name.lower() not in used_loras
    ]
    return warnings


def _split_sampler(sampler: str, scheduler: str, aliases: Mapping[str, str]) -> tuple[str, str]:
    """Split "DPM++ 2M Karras" as Forge does, unless that is a sampler's own name."""
    if not sampler or f"sampler:{sampler.lower()}" in aliases:
        return sampler, scheduler
    base, _, last = sampler.rpartition(" ")
    if base and f"scheduler:{last.lower()}" in aliases and f"sampler:{base.lower()}" in aliases:
        return base, scheduler if scheduler and scheduler.lower() != "automatic" else last
    return sampler, scheduler


def _differs(asked: str, used: str, what: str, aliases: Mapping[str, str]) -> bool:
    def plain(name: str) -> str:
        return aliases.get(f"{what}:{name.lower()}", name).lower()

    return plain(asked) != plain(used)


def _used_loras(info: Mapping[str, Any]) -> set[str]:
    hashes = str((info.get("extra_generation_params") or {}).get("Lora hashes") or "")
    return {part.rpartition(":")[0].strip().lower() for part in hashes.split(",") if ":" in part}
