"""From a request's JSON to an Order: types are checked here, meanings in jobs.services."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from jobs.infotext.order import with_infotext
from jobs.models import OnFailure
from jobs.services import Need, Order
from mobilesd.errors import bad_field
from mobilesd.http.times import read_moment

__all__ = ["kind_of", "read_needs", "read_order", "read_patch"]

_KNOWN = {
    "target_server_alias",
    "generation_params",
    "generation_info_raw",
    "app_type",
    "source_info",
    "priority",
    "lane",
    "not_before",
    "deadline",
    "idempotency_key",
    "depends_on",
}
# In the contract, but not built: taking them would drop what they mean. Empty they mean nothing.
_LATER = {
    "workflow",
    "template",
    "inputs",
}
# Of another address: ignoring them would make one job where many are meant.
_BULK = {"bulk_quantity", "variations", "checkpoints_in", "expand_alternatives"}
_OF_BULK = {*_BULK, "seed_variation", "base_seed", "run_first", "batch_name"}
_MAX_UNKNOWN_SHOWN = 20
_TEXTS = ("target_server_alias", "source_info", "lane")
_MOMENTS = ("not_before", "deadline")
_PATCHED = {*_TEXTS, *_MOMENTS, "priority", "generation_params", "depends_on"}


def read_order(body: Mapping[str, Any]) -> Order:
    """Read the body of v1's and v2's generate; raise InvalidInput that names the field."""
    for name in sorted(name for name in _LATER | _BULK if body.get(name)):
        raise bad_field(
            name,
            "is not supported by this version of MobileSD.",
            error="unsupported_parameter",
            hint="Many jobs are submitted to POST /api/v2/generate/bulk."
            if name in _BULK
            else "Send generation_params, and leave this field out.",
        )
    params, warnings = _params(body)
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
        depends_on=read_needs(given.get("depends_on")),
        received=body,
        warnings=(*_unknown(body), *warnings),
    )


def read_patch(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what is to be changed of a job: fields of its order, and parameters.

    An empty text takes source_info, not_before or deadline away, as null does with the server.
    Raises InvalidInput that names the field; nothing is ignored.
    """
    given = dict(body)
    for name in given:
        if name not in _PATCHED:
            raise bad_field(
                name[:60],
                "can't be changed.",
                f"These can: {', '.join(sorted(_PATCHED))}.",
                error="unsupported_parameter",
            )
    params = given.pop("generation_params", {})
    if not isinstance(params, dict):
        raise bad_field("generation_params", f"must be an object, not {kind_of(params)}.")
    if not given and not params:
        raise bad_field(
            "generation_params", "or another field is missing.", error="missing_required_field"
        )
    if given.get("target_server_alias", "") is None:
        given["target_server_alias"] = ""
    changes: dict[str, Any] = {name: _text(given, name) for name in _TEXTS if name in given}
    changes |= {name: _moment(given, name) for name in _MOMENTS if name in given}
    if "priority" in given:
        changes["priority"] = _whole(given, "priority", 5)
    if "depends_on" in given:
        changes["depends_on"] = read_needs(given["depends_on"])
    return changes, params


def read_needs(value: Any) -> tuple[Need, ...]:
    """Read `depends_on`: ids of jobs, or `{"job": id, "on_failure": "cancel"|"run"}`.

    Raises InvalidInput that names the entry. What a job shows of its parents is taken as well.
    """
    if value is None:
        return ()
    if not isinstance(value, list):
        raise bad_field("depends_on", f"must be a list of jobs, not {kind_of(value)}.")
    return tuple(_need(entry, f"depends_on.{place}") for place, entry in enumerate(value))


def _need(entry: Any, where: str) -> Need:
    given = entry if isinstance(entry, dict) else {"job": entry}
    if unknown := sorted(set(given) - {"job", "on_failure", "status"}):
        raise bad_field(f"{where}.{unknown[0][:60]}", "is not known. Send job and on_failure.")
    on_failure = given.get("on_failure") or OnFailure.CANCEL
    if on_failure not in OnFailure.values:
        raise bad_field(f"{where}.on_failure", f"must be {' or '.join(OnFailure.values)}.")
    try:
        return Need(UUID(given["job"]), on_failure)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise bad_field(where, 'must be the id of a job, or {"job": id}.') from None


def _params(body: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what is to be made, from parameters, an infotext, or both; and warnings."""
    infotext = body.get("generation_info_raw", "")
    if not isinstance(infotext, str):
        raise bad_field("generation_info_raw", f"must be a text, not {kind_of(infotext)}.")
    if "generation_params" not in body and not infotext:
        raise bad_field(
            "generation_params",
            "is missing.",
            error="missing_required_field",
            hint='Send at least {"generation_params": {"positive_prompt": "…"}}.',
        )
    params = body.get("generation_params", {})
    if not isinstance(params, dict):
        raise bad_field("generation_params", f"must be an object, not {kind_of(params)}.")
    return with_infotext(infotext, params) if infotext else (params, ())


def _unknown(body: Mapping[str, Any]) -> list[str]:
    names = [name for name in body if name not in _KNOWN]
    found = [_ignored(name) for name in names[:_MAX_UNKNOWN_SHOWN]]
    if len(names) > _MAX_UNKNOWN_SHOWN:
        found.append(f"{len(names) - _MAX_UNKNOWN_SHOWN} more unknown fields were ignored.")
    return found


def _ignored(name: str) -> str:
    if name in _LATER:
        return f"{name} is empty and was ignored."
    if name in _OF_BULK:
        return f"{name} belongs to POST /api/v2/generate/bulk and was ignored."
    return (
        f"{name[:60]} is not a field of this request and was ignored."
        " Parameters of the picture belong into generation_params."
    )


def kind_of(value: Any) -> str:
    """Return what kind of JSON a value is, for a sentence that says what it must be instead."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
    return names.get(type(value), "a list" if isinstance(value, list) else "an object")


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name, "")
    if not isinstance(value, str):
        raise bad_field(name, f"must be a text, not {kind_of(value)}.")
    return value.strip()


def _whole(given: Mapping[str, Any], name: str, default: int) -> int:
    value = given.get(name, default)
    if type(value) is not int:
        raise bad_field(name, f"must be a whole number, not {kind_of(value)}.")
    return value


def _moment(given: Mapping[str, Any], name: str) -> datetime | None:
    text = _text(given, name)
    if not text:
        return None
    return read_moment(name, text)
