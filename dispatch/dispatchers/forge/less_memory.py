"""What Forge can do with less GPU memory, and how much it says there is.

Its memory management is set at its start; per request there is one built-in script with two
switches (contracts/forge/discovery/script-info.json), and a smaller batch.
"""

from collections.abc import Mapping
from typing import Any

from dispatch.dispatchers.base import Memory, Relief
from dispatch.inventory import ServerInventory

__all__ = ["SCRIPT", "read", "relieve"]

# Its arguments: "Enabled for UNet (always maximize offload)", "Enabled for VAE (always tiled)".
SCRIPT = "never oom integrated"
_MB = 1024 * 1024
_MOST_MB = 16 * 1024 * 1024


def relieve(
    params: Mapping[str, Any], step: int, inventory: ServerInventory | None
) -> Relief | None:
    """Return the next measure: first the script, then a smaller batch at each further step."""
    if params.get("kind") == "upscale":
        return None  # it knows neither
    return _tiled(params, inventory) if step == 1 else _smaller_batch(params)


def _tiled(params: Mapping[str, Any], inventory: ServerInventory | None) -> Relief | None:
    """Switch the script on, if the server lists it: to any other name it answers 422."""
    if inventory is None or SCRIPT not in {name.lower() for name in inventory.scripts}:
        return None
    scripts = params.get("alwayson_scripts") or {}
    if not isinstance(scripts, Mapping):
        return None
    given = next((value for name, value in scripts.items() if name.lower() == SCRIPT), None)
    args = given.get("args") if isinstance(given, Mapping) else None
    if isinstance(args, list) and args[:2] == [True, True]:
        return None
    others = {name: value for name, value in scripts.items() if name.lower() != SCRIPT}
    return Relief(
        {**params, "alwayson_scripts": {**others, SCRIPT: {"args": [True, True]}}},
        "The GPU ran out of memory: it was made with a tiled VAE and the model moved out of the"
        " GPU's memory in parts. This is slower, and single pixels can differ.",
        "with a tiled VAE and the model moved out in parts",
    )


def _smaller_batch(params: Mapping[str, Any]) -> Relief | None:
    """Make the same pictures in more rounds.

    All seeds are counted up over batches and rounds alike (info.all_seeds), so that each picture
    keeps its own as long as their number stays the same.
    """
    size, rounds = params.get("batch_size", 1), params.get("n_iter", 1)
    if type(size) is not int or type(rounds) is not int or size < 2:
        return None
    # A script decides itself what a batch is; several init images are dealt out to its places.
    if params.get("script_name") or len(params.get("init_images") or ()) > 1:
        return None
    smaller = max(part for part in range(1, size // 2 + 1) if size % part == 0)
    return Relief(
        {**params, "batch_size": smaller, "n_iter": rounds * (size // smaller)},
        f"The GPU ran out of memory: {smaller} instead of {size} pictures were made at once."
        " The seeds are the same; single pixels can differ.",
        f"with {smaller} instead of {size} pictures at once",
    )


def read(answer: Any) -> Memory | None:
    """Return what /sdapi/v1/memory says of the GPU: None without CUDA (`cuda.error`).

    `cuda.system` is the whole device, `cuda.reserved` what this Forge holds of it.
    """
    cuda = answer.get("cuda") if isinstance(answer, dict) else None
    if not isinstance(cuda, dict):
        return None
    free, total = _mb(cuda, "system", "free"), _mb(cuda, "system", "total")
    if free is None or total is None:
        return None
    return Memory(free_mb=free, total_mb=total, own_mb=_mb(cuda, "reserved", "current") or 0)


def _mb(cuda: Mapping[str, Any], part: str, name: str) -> int | None:
    values = cuda.get(part)
    value = values.get(name) if isinstance(values, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value / _MB) if 0 <= value <= _MOST_MB * _MB else None
