"""What a bulk order leaves to be worked out: a folder's checkpoints, and alternatives in prompts.

Both become lists of values, so that everything behind only knows `Variations`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jobs.ports import ports
from jobs.services.alternatives import Alternatives, read_alternatives
from jobs.services.variations import MAX_JOBS, Variations, canonical_name
from mobilesd.errors import InvalidInput, bad_field

__all__ = ["MAX_BATCH_BYTES", "too_large", "too_many", "with_alternatives", "with_folder"]

# All rows of a batch are written under one write lock, which lanes wait for.
MAX_BATCH_BYTES = 32 * 1024 * 1024

_PROMPTS = ("positive_prompt", "negative_prompt")
_CHECKPOINT = "checkpoint_name"


def with_folder(variations: Variations, folder: str, app_type: str, alias: str) -> Variations:
    """Add the checkpoints of a folder, and of those in it, as the servers list them.

    Raises InvalidInput if no server has one there, or the order lists checkpoints already.
    """
    if _CHECKPOINT in variations.fields:
        raise bad_field(
            "checkpoints_in", "can't be combined with a list of checkpoints. Send one of them."
        )
    wanted = folder.replace("\\", "/").strip().strip("/").lower()
    names = ports.servers.checkpoints(app_type, alias)
    found = [name for name in names if not wanted or _path(name).startswith(f"{wanted}/")]
    if not found:
        folders = sorted({_path(name).rpartition("/")[0] for name in names} - {""})
        raise bad_field(
            "checkpoints_in",
            f"names a folder without checkpoints: {folder[:80]!r}.",
            f"Folders with checkpoints are: {', '.join(folders[:20]) or 'none'}.",
        )
    if variations.together and variations.fields and len(found) != variations.total:
        raise bad_field(
            "checkpoints_in",
            f"finds {len(found)} checkpoints, and the other lists have {variations.total} values.",
            'With "mode": "zip" the lists go together. Use "product" for all combinations.',
        )
    return Variations({_CHECKPOINT: found, **variations.fields}, together=variations.together)


def _path(name: str) -> str:
    return name.replace("\\", "/").lower()


def with_alternatives(variations: Variations, params: Mapping[str, Any]) -> Variations:
    """Write the alternatives of prompts out, as rows of values that go together.

    Raises InvalidInput for a brace too many or too few, or for more than MAX_JOBS rows, before
    these are made.
    """
    if variations.total > MAX_JOBS:
        raise too_many(variations.total)
    own = {canonical_name(name): value for name, value in params.items()}
    prompts = [name for name in _PROMPTS if isinstance(own.get(name), str)]
    prompts += [name for name in _PROMPTS if name in variations.fields and name not in prompts]
    read: list[tuple[dict[str, Any], list[Alternatives | None]]] = []
    total = written = 0
    for combination in variations.combinations():
        texts = [combination.get(name, own.get(name)) for name in prompts]
        choices = [
            read_alternatives(text, f"generation_params.{name}") if isinstance(text, str) else None
            for name, text in zip(prompts, texts, strict=True)
        ]
        rows = 1
        for choice in choices:
            rows *= choice.total if choice is not None else 1
        total += rows
        if total > MAX_JOBS:
            raise too_many(total)
        written += rows * sum(len(text) for text in texts if isinstance(text, str))
        if written > MAX_BATCH_BYTES:
            raise too_large()
        read.append((combination, choices))
    rows_of_values = [row for one in read for row in _rows(*one, prompts)]
    names = list(dict.fromkeys([*variations.fields, *prompts]))
    columns = {name: [row.get(name, own.get(name)) for row in rows_of_values] for name in names}
    return Variations(columns, together=True)


def _rows(
    combination: dict[str, Any], choices: Sequence[Alternatives | None], prompts: Sequence[str]
) -> Iterator[dict[str, Any]]:
    rows = [combination]
    for name, choice in zip(prompts, choices, strict=True):
        if choice is not None:
            rows = [{**row, name: text} for row in rows for text in choice.each()]
    yield from rows


def too_large() -> InvalidInput:
    """Return the refusal of an order whose jobs would take too much room in the database."""
    return bad_field(
        "generation_params",
        f"makes more than {MAX_BATCH_BYTES // 2**20} MB of parameters in all jobs.",
        "Send several smaller requests.",
        error="payload_too_large",
    )


def too_many(total: int) -> InvalidInput:
    """Return the refusal of an order that would make more jobs than one request may."""
    return bad_field(
        "bulk_quantity",
        f"and variations make {total} jobs. The limit is {MAX_JOBS} in one request.",
        "Send several requests, or fewer alternatives.",
    )
