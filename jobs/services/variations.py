"""What a bulk order stands for: which parameters each of its jobs has, and which seed. Pure."""

import itertools
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models

from jobs.params.fields import BY_NAME
from mobilesd.errors import InvalidInput, bad_field

__all__ = ["MAX_JOBS", "SeedVariation", "Seeds", "Variations", "canonical_name", "read_variations"]

MAX_JOBS = 1_000
DRAWN = 2**32  # the range from which the engines themselves draw
_LARGEST = 2**64
_PLURALS = {
    "checkpoints": "checkpoint_name",
    "prompts": "positive_prompt",
    "negative_prompts": "negative_prompt",
    "samplers": "sampler_name",
    "schedulers": "scheduler",
    "seeds": "seed",
    "vaes": "vae",
}


class SeedVariation(models.TextChoices):
    FIXED = "fixed", "All the same"
    INCREMENTAL = "incremental", "Counting up"
    RANDOM = "random", "All drawn"


@dataclass(frozen=True)
class Variations:
    """Lists of values by parameter, for all combinations or (`together`) value by value."""

    fields: Mapping[str, Sequence[Any]]
    together: bool = False

    @property
    def total(self) -> int:
        """Return the number of combinations, without making any."""
        lengths = [len(values) for values in self.fields.values()]
        if not lengths:
            return 1
        if self.together:
            return lengths[0]
        total = 1
        for length in lengths:
            total *= length
        return total

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Yield the varied parameters of each combination; the first field changes slowest."""
        lists = self.fields.values()
        rows = zip(*lists, strict=True) if self.together and lists else itertools.product(*lists)
        for values in rows:
            yield dict(zip(self.fields, values, strict=True))


def canonical_name(name: str) -> str:
    """Return what a parameter is called when it is stored; unknown ones keep their name."""
    field = BY_NAME.get(name)
    return field.name if field is not None else name


def read_variations(value: Any) -> Variations:
    """Read `{"mode": "product"|"zip", "fields": {name: [values], …}}`, or the fields alone.

    Names are those of generation_params, their aliases, or the plurals checkpoints, prompts,
    negative_prompts, samplers, schedulers, seeds, vaes. Raises InvalidInput that names the field.
    """
    if not isinstance(value, dict):
        raise bad_field("variations", 'must be an object such as {"checkpoints": ["a", "b"]}.')
    value = _without_nulls(value)
    mode, fields = "product", value
    if "fields" in value or "mode" in value:
        if unknown := sorted(set(value) - {"mode", "fields"}):
            raise bad_field(
                f"variations.{unknown[0][:60]}", 'stands beside "fields". Put it into "fields".'
            )
        mode, fields = value.get("mode", mode), value.get("fields", {})
    if mode not in ("product", "zip"):
        raise bad_field("variations.mode", "must be product or zip.")
    if not isinstance(fields, dict):
        raise bad_field("variations.fields", "must be an object of lists.")
    found: dict[str, Sequence[Any]] = {}
    for given, values in _without_nulls(fields).items():
        name = str(given)
        where = f"variations.{name[:60]}"
        known = canonical_name(_PLURALS.get(name, name))
        if not isinstance(values, list) or not values:
            raise bad_field(where, "must be a list with at least one value.")
        if None in values:
            raise bad_field(where, "holds null. Each entry must be a value.")
        if known in found:
            raise bad_field(where, f"is a second list for {known}. Send one.")
        found[known] = values
    if mode == "zip" and len({len(values) for values in found.values()}) > 1:
        raise _of_one_length(found)
    return Variations(found, together=mode == "zip")


def _without_nulls(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}  # null means absent


def _of_one_length(fields: Mapping[str, Sequence[Any]]) -> InvalidInput:
    lengths = ", ".join(f"{name}: {len(values)}" for name, values in fields.items())
    return bad_field(
        "variations",
        f"has lists of different lengths ({lengths}).",
        'With "mode": "zip" the lists go together, value by value. Use "product" for all'
        " combinations.",
    )


@dataclass(frozen=True)
class Seeds:
    """The seeds of a bulk's jobs: `base` is that of the first, unless all are drawn."""

    variation: str
    base: int

    @classmethod
    def of(cls, variation: str, base: int | None) -> "Seeds":
        """Return the seeds from a base; none, or -1, draws one."""
        return cls(variation, secrets.randbelow(DRAWN) if base in (None, -1) else base)

    def each(self, pictures: Sequence[int]) -> Iterator[int]:
        """Yield the seed of each job, given how many pictures each makes.

        The pictures of one job count up from its seed. Counting up over jobs goes on after them,
        so that no picture is made twice; it begins at 0 again where the engines' seeds end.
        """
        if self.variation == SeedVariation.RANDOM:
            yield from _drawn(len(pictures))
            return
        seed, end = self.base, DRAWN if self.base < DRAWN else _LARGEST
        for count in pictures:
            yield seed
            if self.variation == SeedVariation.INCREMENTAL:
                seed = (seed + count) % end


def _drawn(count: int) -> Iterator[int]:
    seen: set[int] = set()
    while len(seen) < count:
        seed = secrets.randbelow(DRAWN)
        if seed not in seen:
            seen.add(seed)
            yield seed
