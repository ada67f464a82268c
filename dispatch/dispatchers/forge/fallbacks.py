"""What Forge did instead of what was asked, silently (contracts/forge.md).

A picture of another checkpoint is rejected; another sampler or scheduler, or a LoRA that was left
out, is a warning.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dispatch.dispatchers.base import BackendError, ErrorClass, Request
from dispatch.dispatchers.forge import names
from dispatch.dispatchers.forge.untrusted import text
from dispatch.inventory import ServerInventory
from models_catalog.resolve import KnownModel, bare_name, model_key, resolve

__all__ = ["used_checkpoint", "warnings", "wrong_checkpoint"]

_SCHEDULE = re.compile(r"(?:^|, )Schedule type: ([^,]+)")
_LONGEST_NAME = 500


def _name(info: Mapping[str, Any]) -> str:
    """Return Forge's name of the checkpoint: no folder, no extension."""
    return text(info.get("sd_model_name") or "", _LONGEST_NAME)


def _hash(info: Mapping[str, Any]) -> str:
    return text(info.get("sd_model_hash") or "", 64).lower()


def wrong_checkpoint(
    info: Mapping[str, Any], request: Request, inventory: ServerInventory | None
) -> BackendError | None:
    """Return why the picture is not what was asked for, if another checkpoint made it."""
    wanted, used = request.checkpoint, _name(info)
    if not wanted or not used or _is_same(wanted, used, _hash(info), inventory):
        return None
    return BackendError(
        ErrorClass.ELSEWHERE,
        "wrong_checkpoint",
        f"The server used the checkpoint {used} instead of {wanted}.",
        "Refresh the checkpoint list on the server, or choose another server.",
    )


def _is_same(wanted: str, used: str, short: str, inventory: ServerInventory | None) -> bool:
    listed = resolve(wanted, inventory.checkpoints) if inventory else None
    known = listed or KnownModel(wanted)
    if known.short_hash and short:
        return known.short_hash.lower() == short
    # Before its first load nobody knows a file's hash: the name has to do.
    called = {bare_name(model_key(known.name)), *(model_key(name) for name in known.other_names)}
    return model_key(used) in called or bool(short and model_key(wanted).startswith(short))


def used_checkpoint(
    info: Mapping[str, Any],
    request: Request,
    inventory: ServerInventory | None,
    *,
    rejected: bool,
) -> str:
    """Return the checkpoint that made the pictures, in the server's spelling where it is known."""
    if inventory is None:
        return _name(info)
    if request.checkpoint and not rejected:
        return request.checkpoint
    by_name = resolve(_name(info), inventory.checkpoints)
    known = by_name or resolve(_hash(info), inventory.checkpoints)
    return known.name if known else _name(info)


def warnings(
    info: Mapping[str, Any],
    infotexts: Sequence[str],
    request: Request,
    inventory: ServerInventory | None,
) -> list[str]:
    """Return a sentence for each thing that was not done as asked."""
    aliases = inventory.aliases if inventory else {}
    sampler, scheduler = names.split(
        str(request.asked.get("sampler") or ""), str(request.asked.get("scheduler") or ""), aliases
    )
    used_sampler = text(info.get("sampler_name") or "", _LONGEST_NAME)
    found = _SCHEDULE.search(infotexts[-1].rpartition("\n")[2])
    used_scheduler = found.group(1).strip()[:_LONGEST_NAME] if found else ""
    said = []
    if sampler and used_sampler and not names.same("sampler", sampler, used_sampler, aliases):
        said.append(f"The server used the sampler {used_sampler} instead of {sampler}.")
    if (
        scheduler
        and used_scheduler
        and not names.same_scheduler(scheduler, used_scheduler, used_sampler, aliases)
    ):
        said.append(f"The server used the scheduler {used_scheduler} instead of {scheduler}.")
    loras = _used_loras(info)
    said += [
        f"The server did not use the LoRA {name}."
        for name in request.asked.get("loras", ())
        if name.replace(",", "").lower() not in loras
    ]
    return said


def _used_loras(info: Mapping[str, Any]) -> set[str]:
    """Return the names in "Lora hashes"; Forge leaves out commas and colons there."""
    extra = info.get("extra_generation_params")
    hashes = str(extra.get("Lora hashes") or "") if isinstance(extra, dict) else ""
    return {part.rpartition(":")[0].strip().lower() for part in hashes.split(",") if ":" in part}
