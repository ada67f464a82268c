"""Columns of a job that follow from its others, kept so that a lane can step over rows by index.

Inserting and saving a row fills them in, and so does `JobQuerySet.update`, so that no writer of
what they follow from has to know them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import F, Value
from django.db.models.functions import Coalesce, Greatest

from jobs.params.loras import loras_of

__all__ = ["LorasField", "PutOffField", "derived", "joined", "separated"]

# No LoRA's name has one: tags end with it, and lists may not have it (jobs.params.readers).
_BETWEEN = ":"
# PostgreSQL takes rows of an index up to 2,700 bytes, and a checkpoint's name may take 2,000.
_BYTES = 400


def joined(names: list[str]) -> str:
    """Return the names of LoRAs as the column keeps them: the first ones, as many as fit."""
    kept: list[str] = []
    room = _BYTES
    for name in names:
        room -= len(name.encode("utf-8", "surrogatepass")) + len(_BETWEEN)
        if room < 0:
            break
        kept.append(name)
    return _BETWEEN.join(kept)


def separated(column: str) -> tuple[str, ...]:
    """Return the names that the column keeps."""
    return tuple(column.split(_BETWEEN)) if column else ()


class LorasField(models.TextField):  # type: ignore[type-arg]
    """The LoRAs that `generation_params` name, "" for none."""

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = joined(loras_of(model_instance.generation_params))  # type: ignore[attr-defined]
        setattr(model_instance, self.attname, value)
        return value


class PutOffField(models.DateTimeField):  # type: ignore[type-arg]
    """The later of `not_before` and `retry_at`; null once that has come (`jobs.readiness`)."""

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        moments = (model_instance.not_before, model_instance.retry_at)  # type: ignore[attr-defined]
        value = _later(*moments)
        setattr(model_instance, self.attname, value)
        return value


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((moment for moment in (one, other) if moment is not None), default=None)


def derived(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a change of these columns makes of those that follow from them."""
    found: dict[str, Any] = {}
    if "generation_params" in values:
        found["loras"] = joined(loras_of(values["generation_params"]))
    if "not_before" in values and "retry_at" in values:
        found["put_off_until"] = _later(values["not_before"], values["retry_at"])
    elif "not_before" in values:
        found["put_off_until"] = _later_of(values["not_before"], F("retry_at"))
    elif "retry_at" in values:
        found["put_off_until"] = _later_of(values["retry_at"], F("not_before"))
    return found


def _later_of(moment: datetime | None, other: F) -> Any:
    """Return the later of both as an expression."""
    if moment is None:
        return other
    value = Value(moment, output_field=models.DateTimeField())
    # Greatest is null on SQLite as soon as one of them is, and elsewhere only if both are.
    return Coalesce(Greatest(value, other), value)
