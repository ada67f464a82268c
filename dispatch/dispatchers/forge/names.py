"""Names of samplers and schedulers: Forge takes only its own spelling, people know several.

`aliases` is that of the inventory: "sampler:euler a" → "Euler a", "scheduler:karras" → "Karras",
and "default:dpm++ 2m" → "Karras", the scheduler that "Automatic" means for a sampler.
"""

from collections.abc import Mapping

__all__ = ["listed", "same", "same_scheduler", "split"]

_AUTOMATIC = "automatic"


def listed(what: str, name: str, aliases: Mapping[str, str]) -> str:
    """Return the name in the server's spelling, or as it is if the server does not list it."""
    return aliases.get(f"{what}:{name.lower()}", name)


def split(sampler: str, scheduler: str, aliases: Mapping[str, str]) -> tuple[str, str]:
    """Split "DPM++ 2M Karras", as old programs name it, unless that is a sampler's own name."""
    if f"sampler:{sampler.lower()}" in aliases:
        return sampler, scheduler
    words = sampler.split(" ")
    for place in range(1, len(words)):
        base, rest = " ".join(words[:place]), " ".join(words[place:])
        if f"sampler:{base.lower()}" in aliases and f"scheduler:{rest.lower()}" in aliases:
            return base, rest
    return sampler, scheduler


def same(what: str, asked: str, used: str, aliases: Mapping[str, str]) -> bool:
    """Tell whether two names mean the same sampler or scheduler."""
    return listed(what, asked, aliases).lower() == listed(what, used, aliases).lower()


def same_scheduler(asked: str, used: str, sampler: str, aliases: Mapping[str, str]) -> bool:
    """Tell whether the server did as asked.

    "Automatic" leaves the choice to the server. It also stands for a sampler's own default, and
    Forge writes either the one or the other.
    """
    if asked.lower() == _AUTOMATIC or same("scheduler", asked, used, aliases):
        return True
    default = aliases.get(f"default:{sampler.lower()}", "")
    return (
        used.lower() == _AUTOMATIC and bool(default) and same("scheduler", asked, default, aliases)
    )
