"""Answers of a real Forge that do not depend on its state, as recorded."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "answers"


@cache
def recorded(name: str) -> Any:
    """Return the recorded body of a route, for example "samplers". Do not change it."""
    return json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@cache
def sampler_names() -> list[str]:
    return [sampler["name"] for sampler in recorded("samplers")]


@cache
def schedulers_by_name() -> dict[str, str]:
    """Map every accepted scheduler name (id or label) to its label."""
    return {
        name: scheduler["label"]
        for scheduler in recorded("schedulers")
        for name in (scheduler["name"], scheduler["label"])
    }


@cache
def upscaler_names() -> frozenset[str]:
    """Return the names that hires fix accepts: latent modes and upscalers."""
    modes = [*recorded("latent-upscale-modes"), *recorded("upscalers")]
    return frozenset(mode["name"] for mode in modes)


def resolve_sampler(
    sampler: str | None, sampler_index: str, scheduler: str | None
) -> tuple[str, str]:
    """Return (sampler name, scheduler label) that Forge really uses.

    Unknown names fall back silently to the first sampler and to Automatic
    (recordings errors/unknown-sampler, errors/unknown-scheduler); a scheduler
    glued to the sampler's name is split off ("DPM++ 2M Karras").
    """
    names = sampler_names()
    labels = schedulers_by_name()
    wanted = sampler or sampler_index
    label = labels.get(scheduler or "", "Automatic")
    if wanted not in names:
        for suffix, suffix_label in labels.items():
            if wanted.endswith(f" {suffix}"):
                wanted = wanted[: -len(suffix) - 1]
                label = suffix_label
                break
    return (wanted if wanted in names else names[0]), label
