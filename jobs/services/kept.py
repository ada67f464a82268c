"""Rows that were deleted for good, kept for as long as their deletion can be undone."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.core import serializers
from django.db import IntegrityError, models, transaction

from mobilesd.errors import Conflict

__all__ = ["keep", "put_back", "put_back_preset"]


def keep(rows: Iterable[models.Model]) -> list[dict[str, Any]]:
    """Return rows as they stand, with their ids, as JSON has them."""
    # Not Django's own JSON, which cuts times off at the millisecond.
    text = json.dumps(serializers.serialize("python", rows), default=_as_text)
    kept: list[dict[str, Any]] = json.loads(text)
    return kept


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def put_back(
    kept: Sequence[Mapping[str, Any]], changes: Mapping[str, Any] | None = None
) -> list[Any]:
    """Insert rows again as they were, the first one with changes; return them.

    Raises IntegrityError if something took their place; nothing is inserted then.
    """
    found = [row.object for row in serializers.deserialize("python", kept)]
    for name, value in (changes or {}).items():
        setattr(found[0], name, value)
    with transaction.atomic():
        for row in found:
            row.save_base(raw=True, force_insert=True)  # raw: with the times that it had
    return found


def put_back_preset(kept: Sequence[Mapping[str, Any]]) -> None:
    """Insert a deleted preset again; raise Conflict if that can't be done any more."""
    fields = kept[0]["fields"]
    owner, name = fields["owner"], fields["name"]
    if owner is not None and not get_user_model().objects.filter(pk=owner).exists():
        raise Conflict(f"The owner of the preset {name!r} was deleted since.")
    try:
        put_back(kept)
    except IntegrityError:
        raise Conflict(
            f"There is another preset {name!r} by now.",
            error="already_exists",
            hint="Rename that one, then undo this again.",
        ) from None
