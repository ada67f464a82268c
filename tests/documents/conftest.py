"""The API's document, and what real answers are measured against."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from mobilesd.schema.generator import document
from tests.api.conftest import api, boss, member
from tests.processes.conftest import install, prepared_folder

__all__ = ["api", "boss", "install", "member", "prepared_folder"]

_ROOT = "urn:document"


class Schema:
    """The document, and a validator that knows its components."""

    def __init__(self) -> None:
        self.document = document()
        resource = Resource(contents=self.document, specification=DRAFT202012)
        self._registry = Registry().with_resource(_ROOT, resource)

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Give each operation with its path and method."""
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield path, method, operation

    def errors(self, value: Any, shape: dict[str, Any], *, closed: bool = False) -> list[str]:
        """Say what is wrong with a value; `closed`: a field that is not described is wrong."""
        shape = _absolute(_closed(shape) if closed else shape)
        if closed:
            components = _closed(self.document["components"]["schemas"])
            contents = {"components": {"schemas": components}}
            resource = Resource(contents=contents, specification=DRAFT202012)
            registry = Registry().with_resource(_ROOT, resource)
        else:
            registry = self._registry
        validator = Draft202012Validator(
            shape, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    def check(self, answer: Any, method: str, path: str) -> dict[str, Any]:
        """Hold a real answer against the document, field by field; return its body."""
        operation = self.document["paths"][path][method.lower()]
        status = str(answer.status_code)
        assert status in operation["responses"], f"{method} {path}: {status} is not described"
        found = operation["responses"][status]
        kind = answer.headers["Content-Type"].partition(";")[0]
        assert kind in found["content"], f"{method} {path}: {kind} is not described"
        media = found["content"][kind]
        body: dict[str, Any] = answer.json()
        wrong = self.errors(body, media["schema"], closed=answer.status_code < 400)
        assert not wrong, f"{method} {path} {status}: {wrong}"
        if answer.status_code >= 400:
            assert body["error"] in media["examples"], f"{method} {path}: {body['error']}"
        return body


def _absolute(shape: Any) -> Any:
    if isinstance(shape, dict):
        changed = {name: _absolute(value) for name, value in shape.items()}
        if isinstance(shape.get("$ref"), str) and shape["$ref"].startswith("#"):
            changed["$ref"] = _ROOT + shape["$ref"]
        return changed
    return [_absolute(value) for value in shape] if isinstance(shape, list) else shape


def _closed(shape: Any) -> Any:
    if isinstance(shape, dict):
        changed = {name: _closed(value) for name, value in shape.items()}
        kind = shape.get("type")
        if "properties" in shape and (kind == "object" or kind == ["object", "null"]):
            changed.setdefault("additionalProperties", False)
        return changed
    return [_closed(value) for value in shape] if isinstance(shape, list) else shape


@pytest.fixture(scope="session")
def schema() -> Schema:
    return Schema()
