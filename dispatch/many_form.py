"""The part of the New page that makes many jobs of one order."""

import hashlib
import re
from dataclasses import replace

from django.http import QueryDict

from dispatch.forms import FIELDS, errors_by_field
from jobs.services import BulkOrder, Order
from jobs.services.variations import MAX_JOBS, SeedVariation, read_variations
from mobilesd.errors import Problem, bad_field

__all__ = ["ALL_FOLDERS", "MANY", "ManyForm"]

# Chosen among what the servers have, and typed as lists. The first one changes slowest: a
# checkpoint is loaded once for all jobs that need it.
_CHOSEN = ("checkpoint", "sampler", "scheduler")
_TYPED = ("width", "height", "steps", "cfg", "denoising", "seed")
_LISTS = {f"many_{name}": FIELDS[name] for name in (*_CHOSEN, *_TYPED)}
_TEXTS = ("quantity", "seed_variation", "folder", "mode", "run_first", "batch_name")
MANY = (*_TEXTS, *_LISTS)
# checkpoints_in takes it for the top folder, where all others are.
ALL_FOLDERS = "/"
_BREAKS = re.compile(r"[,;\s]+")


class ManyForm:
    """How the jobs of one order differ, as it was typed; `is_used` if there may be several."""

    def __init__(self, post: QueryDict) -> None:
        self.values = {name: post.get(name, "").strip() for name in _TEXTS}
        self.chosen = {name: post.getlist(f"many_{name}") for name in _CHOSEN}
        self.typed = {name: post.get(f"many_{name}", "").strip() for name in _TYPED}
        prompts = post.get("prompt", "") + post.get("negative", "")
        self.alternatives = "{" in prompts and bool(post.get("alternatives"))

    @property
    def is_used(self) -> bool:
        """Tell whether anything here is not as it is at first."""
        texts = (self.values[name] for name in ("folder", "run_first", "batch_name"))
        copies = self.values["quantity"] not in ("", "1")
        return copies or self.alternatives or any([*texts, *self._lists()])

    def _lists(self) -> dict[str, list[str]]:
        """Return the lists that have values, by parameter."""
        given = dict(self.chosen)
        given |= {name: [v for v in _BREAKS.split(text) if v] for name, text in self.typed.items()}
        return {_LISTS[f"many_{name}"]: values for name, values in given.items() if values}

    def bulk(self, order: Order, *, has_start: bool) -> BulkOrder:
        """Return the order of many jobs; raise InvalidInput that names the wrong field.

        `has_start`: it starts from a picture, without which denoising means nothing.
        """
        if self.typed["denoising"] and not has_start:
            raise bad_field(
                "generation_params.denoising_strength", "needs a picture to start from."
            )
        variations = read_variations(
            {"mode": self.values["mode"] or "product", "fields": self._lists()}
        )
        run_first = self.values["run_first"]
        bulk = BulkOrder(
            order=order,
            quantity=_whole("bulk_quantity", self.values["quantity"] or "1"),
            seed_variation=self.values["seed_variation"] or SeedVariation.INCREMENTAL,
            variations=variations,
            checkpoints_in=self.values["folder"] or None,
            expand_alternatives=self.alternatives,
            run_first=_whole("run_first", run_first) if run_first else None,
            name=self.values["batch_name"],
        )
        return replace(bulk, order=replace(order, idempotency_key=_key(bulk)))

    def errors(self, problem: Problem) -> dict[str, str]:
        """Return the sentences of a refusal by field: a varied one is wrong in its list."""
        varied = self._lists()
        lists = {known: name for name, known in _LISTS.items() if known in varied}
        return errors_by_field(problem, lists)


def _whole(name: str, text: str) -> int:
    if not (text.isdecimal() and text.isascii() and len(text) < 10):
        raise bad_field(name, f"must be a whole number from 1 to {MAX_JOBS}, not {text[:20]!r}.")
    return int(text)


def _key(bulk: BulkOrder) -> str:
    """Return a key of its own for each way to make many jobs of one order."""
    key = bulk.order.idempotency_key
    if not key:
        return ""
    differs = (bulk.quantity, bulk.seed_variation, bulk.variations, bulk.checkpoints_in)
    rest = (bulk.expand_alternatives, bulk.run_first, bulk.name)
    digest = hashlib.sha256(repr((key, differs, rest)).encode("utf-8", "replace"))
    return f"{key}:{digest.hexdigest()[:32]}"
