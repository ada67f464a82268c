"""From a request's JSON to an Order: types are checked here, meanings in jobs.services."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jobs.services import Order
from mobilesd.errors import bad_field
from mobilesd.http.times import read_moment

__all__ = ["read_order"]

_KNOWN = {
    "target_server_alias",
    "generation_params",
    "app_type",
    "source_info",
    "priority",
    "lane",
    "not_before",
    "deadline",
    "idempotency_key",
}
# In the contract, but not built: taking them would drop what they mean.
_LATER = {
    "generation_info_raw",
    "workflow",
    "template",
    "depends_on",
    "bulk_quantity",
    "variations",
}
_MAX_UNKNOWN_SHOWN = 20


def read_order(body: Mapping[str, Any]) -> Order:
    """Read the body of v1's and v2's generate; raise InvalidInput that names the field."""
    for name in sorted(name for name in _LATER if body.get(name)):
        raise bad_field(
            name,
            "is not supported by this version of MobileSD.",
            error="unsupported_parameter",
            hint="Send generation_params, and leave this field out.",
        )
    if "generation_params" not in body:
        raise bad_field(
            "generation_params",
            "is missing.",
            error="missing_required_field",
            hint='Send at least {"generation_params": {"positive_prompt": "…"}}.',
        )
    params = body["generation_params"]
    if not isinstance(params, dict):
        raise bad_field("generation_params", f"must be an object, not {_kind(params)}.")
    given = {name: value for name, value in body.items() if name in _KNOWN}
    return Order(
        generation_params=params,
        app_type=_text(given, "app_type"),
        target_server_alias=_text(given, "target_server_alias"),
        source_info=_text(given, "source_info"),
        priority=_whole(given, "priority", 5),
        lane=_text(given, "lane") or "interactive",
        not_before=_moment(given, "not_before"),
        deadline=_moment(given, "deadline"),
        idempotency_key=_text(given, "idempotency_key"),
        received=body,
        warnings=tuple(_unknown(body)),
    )


def _unknown(body: Mapping[str, Any]) -> list[str]:
    names = [name for name in body if name not in _KNOWN]
    found = [
        f"{name[:60]} is not a field of this request and was ignored."
        " Parameters of the picture belong into generation_params."
        for name in names[:_MAX_UNKNOWN_SHOWN]
    ]
    if len(names) > _MAX_UNKNOWN_SHOWN:
        found.append(f"{len(names) - _MAX_UNKNOWN_SHOWN} more unknown fields were ignored.")
    return found


def _kind(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
    return names.get(type(value), "a list" if isinstance(value, list) else "an object")


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name, "")
    if not isinstance(value, str):
        raise bad_field(name, f"must be a text, not {_kind(value)}.")
    return value.strip()


def _whole(given: Mapping[str, Any], name: str, default: int) -> int:
    value = given.get(name, default)
    if type(value) is not int:
        raise bad_field(name, f"must be a whole number, not {_kind(value)}.")
    return value


def _moment(given: Mapping[str, Any], name: str) -> datetime | None:
    text = _text(given, name)
    if not text:
        return None
    return read_moment(name, text)
