"""JSON Schema (2020-12, as OpenAPI 3.1 takes it) in few words, for `<app>/api/schema.py`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "Shape",
    "anything",
    "const_true",
    "enveloped",
    "flag",
    "listed",
    "mapping",
    "moment",
    "nullable",
    "number",
    "obj",
    "ref",
    "text",
    "uuid",
    "whole",
    "word",
]

Shape = dict[str, Any]


def _shape(kind: str, description: str, rules: Mapping[str, Any]) -> Shape:
    shape: Shape = {"type": kind} if kind else {}
    if description:
        shape["description"] = description
    return {**shape, **{name: value for name, value in rules.items() if value is not None}}


def text(description: str = "", **rules: Any) -> Shape:
    """Return a text."""
    return _shape("string", description, rules)


def whole(
    description: str = "", low: int | None = None, high: int | None = None, **rules: Any
) -> Shape:
    """Return a whole number from `low` to `high`."""
    return _shape("integer", description, {"minimum": low, "maximum": high, **rules})


def number(
    description: str = "", low: float | None = None, high: float | None = None, **rules: Any
) -> Shape:
    """Return a number from `low` to `high`."""
    return _shape("number", description, {"minimum": low, "maximum": high, **rules})


def flag(description: str = "", **rules: Any) -> Shape:
    """Return true or false."""
    return _shape("boolean", description, rules)


def moment(description: str = "", **rules: Any) -> Shape:
    """Return a time, RFC 3339."""
    return text(description, format="date-time", **rules)


def uuid(description: str = "", **rules: Any) -> Shape:
    """Return a UUID."""
    return text(description, format="uuid", **rules)


def word(words: Iterable[str], description: str = "", **rules: Any) -> Shape:
    """Return one of these words."""
    return text(description, enum=list(words), **rules)


def listed(items: Shape, description: str = "", **rules: Any) -> Shape:
    """Return a list of these."""
    return _shape("array", description, {"items": items, **rules})


def obj(
    properties: Mapping[str, Shape],
    description: str = "",
    *,
    required: Sequence[str] | None = None,
    **rules: Any,
) -> Shape:
    """Return an object; every property is required unless `required` says which are."""
    needed = list(properties) if required is None else list(required)
    given = {"properties": dict(properties), "required": needed or None, **rules}
    return _shape("object", description, given)


def const_true(description: str) -> Shape:
    """Return a mark: true, or not there."""
    return {"const": True, "description": description}


def mapping(values: Shape | bool = True, description: str = "", **rules: Any) -> Shape:
    """Return an object with any names."""
    return _shape("object", description, {"additionalProperties": values, **rules})


def anything(description: str = "", **rules: Any) -> Shape:
    """Return any JSON value."""
    return _shape("", description, rules)


def ref(name: str) -> Shape:
    """Return a component by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def nullable(shape: Shape) -> Shape:
    """Return this shape or null."""
    if "anyOf" in shape:
        return {**shape, "anyOf": [*shape["anyOf"], {"type": "null"}]}
    if "$ref" in shape:
        return {"anyOf": [shape, {"type": "null"}]}
    changed = {**shape, "enum": [*shape["enum"], None]} if "enum" in shape else dict(shape)
    if "type" in shape:
        changed["type"] = [shape["type"], "null"]
    return changed


def enveloped(properties: Mapping[str, Shape], **options: Any) -> Shape:
    """Return a v2 answer: `success` and these."""
    return obj({"success": {"const": True}, **properties}, **options)
