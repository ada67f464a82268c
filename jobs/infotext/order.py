"""An order that comes as an infotext, alone or with parameters that win over it."""

from collections.abc import Mapping
from typing import Any

from jobs.infotext.params import understand
from jobs.infotext.parse import parse
from jobs.params.fields import BY_NAME
from jobs.params.known import scheduler_label
from jobs.params.readers import Refused
from mobilesd.errors import bad_field

__all__ = ["with_infotext"]

_FIELD = "generation_info_raw"
# Where engines' own clients put a parameter, and which one it is.
_OVERRIDES = {"sd_model_checkpoint": "checkpoint_name", "CLIP_stop_at_last_layers": "clip_skip"}


def with_infotext(text: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the parameters of an order that has an infotext, and warnings.

    A parameter that is in both is taken from `given`; the warnings name those that differ. Raises
    InvalidInput for text that is too long, or that holds nothing.
    """
    try:
        info = parse(text)
    except ValueError as error:
        raise bad_field(_FIELD, f"{error}.", "Send the text of one picture.") from None
    if not (info.prompt or info.negative_prompt or info.fields):
        raise bad_field(
            _FIELD, "holds no prompt and no parameters.", error="missing_required_field"
        )
    given = {name: value for name, value in given.items() if value is not None}
    understood = understand(info, given)
    named = dict(_named(given))
    params = {name: value for name, value in understood.params.items() if name not in named}
    differ = [name for name, value in named.items() if _differ(name, understood.params, value)]
    warnings = [f"generation_params.{name} is used, not that of {_FIELD}." for name in differ]
    return {**params, **given}, (*understood.warnings, *warnings)


def _named(given: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return what the parameters name, by canonical name."""
    overrides = given.get("override_settings")
    found = [
        (_OVERRIDES[name], value)
        for name, value in (overrides.items() if isinstance(overrides, Mapping) else ())
        if name in _OVERRIDES and value is not None
    ]
    for name, value in given.items():
        if name == "scheduler_or_quality_preset":
            if isinstance(value, str) and scheduler_label(value):
                found.append(("scheduler", value))
        else:
            field = BY_NAME.get(name)
            found.append((field.name if field else name, value))
    return found


def _differ(name: str, params: Mapping[str, Any], value: Any) -> bool:
    if name not in params:
        return False
    field = BY_NAME.get(name)
    if field is None:
        return bool(params[name] != value)
    try:
        return bool(field.key(params[name]) != field.key(field.read(value)))
    except Refused:
        return False  # the order is refused anyway, with a better sentence
