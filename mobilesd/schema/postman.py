"""The Postman collection: a request for each operation, in an order in which all of them work.

Run from top to bottom it is a tour of the API that leaves nothing behind: what a folder makes, it
removes. `apiKey` must be a key with the scope `admin`, `image_id` a picture of the gallery.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from mobilesd.schema.generator import document
from mobilesd.schema.tour import STREAMS, TOUR, Step

__all__ = ["collection", "collection_text"]

_FORMAT = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_DESCRIPTION = (
    "Made by `manage.py api_docs` from the OpenAPI document. Set baseUrl and apiKey (a key with"
    " the scope admin); image_id is the id of any picture."
)


@dataclass(frozen=True)
class _Found:
    method: str
    path: str
    spec: Mapping[str, Any]


@dataclass
class _Document:
    schema: Mapping[str, Any] = field(default_factory=document)

    def operations(self) -> dict[str, _Found]:
        """Return each operation by its id."""
        return {
            spec["operationId"]: _Found(method.upper(), path, spec)
            for path, methods in self.schema["paths"].items()
            for method, spec in methods.items()
        }

    def resolved(self, shape: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow a reference to a component."""
        if "$ref" not in shape:
            return shape
        name = shape["$ref"].rpartition("/")[2]
        found: Mapping[str, Any] = self.schema["components"]["schemas"][name]
        return found

    def required(self, shape: Mapping[str, Any], before: str = "", depth: int = 2) -> Iterator[str]:
        """Give the paths of the fields that an answer must have, two objects deep."""
        shape = self.resolved(shape)
        if depth == 0 or shape.get("type") != "object":
            return
        for name in shape.get("required", ()):
            yield before + name
            inner = shape.get("properties", {}).get(name, {})
            yield from self.required(inner, f"{before}{name}.", depth - 1)


def _url(found: _Found, step: Step) -> dict[str, Any]:
    path = found.path.strip("/").split("/") + ([""] if found.path.endswith("/") else [])
    parts = [
        "{{" + step.path.get(part[1:-1], part[1:-1]) + "}}" if part.startswith("{") else part
        for part in path
    ]
    url: dict[str, Any] = {
        "raw": "/".join(["{{baseUrl}}", *parts]),
        "host": ["{{baseUrl}}"],
        "path": parts,
    }
    parameters = [entry for entry in found.spec["parameters"] if entry["in"] == "query"]
    if parameters:
        url["query"] = [
            {
                "key": entry["name"],
                "value": str(step.query.get(entry["name"], "")),
                "description": entry["description"],
                "disabled": entry["name"] not in step.query,
            }
            for entry in parameters
        ]
        sent = [f"{name}={value}" for name, value in step.query.items()]
        url["raw"] += "?" + "&".join(sent) if sent else ""
    return url


def _body(found: _Found, step: Step) -> dict[str, Any]:
    content = found.spec.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return {}
    value = step.body
    if value is None:
        value = next(iter(content["examples"].values()))["value"]
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return {"body": {"mode": "raw", "raw": text, "options": {"raw": {"language": "json"}}}}


def _script(found: _Found, step: Step, doc: _Document) -> list[str]:
    fine = [int(status) for status in found.spec["responses"] if status < "400"]
    lines = [
        f"pm.test('status is {' or '.join(map(str, fine))}', () => {{",
        f"  pm.expect(pm.response.code).to.be.oneOf({json.dumps(fine)});",
        "});",
        "pm.test('the request has an id', () => {",
        "  pm.expect(pm.response.headers.get('X-Request-ID')).to.be.a('string');",
        "});",
    ]
    media = found.spec["responses"][str(fine[0])].get("content", {})
    if "application/json" in media:
        shape = doc.resolved(media["application/json"]["schema"])
        lines += ["const body = pm.response.json();"]
        lines += _shape_lines(shape, doc)
        lines += [
            f"pm.collectionVariables.set({json.dumps(name)}, body.{path});"
            for name, path in step.saves.items()
        ]
    return lines


def _shape_lines(shape: Mapping[str, Any], doc: _Document) -> list[str]:
    if shape.get("type") == "array":
        return ["pm.test('it is a list', () => pm.expect(body).to.be.an('array'));"]
    fields = list(doc.required(shape))
    lines = [
        "pm.test('all fields are there', () => {",
        f"  const paths = {json.dumps(fields)};",
        "  for (const path of paths) pm.expect(body).to.have.nested.property(path);",
        "});",
    ]
    if "success" in fields:
        lines.append("pm.test('it is a success', () => pm.expect(body.success).to.eql(true));")
    return lines


def _item(step: Step, found: _Found, doc: _Document) -> dict[str, Any]:
    headers = [{"key": "Accept", "value": "application/json"}]
    if not found.spec["security"] or "application/json" not in _media(found):
        headers = []
    if found.spec.get("requestBody"):
        headers.append({"key": "Content-Type", "value": "application/json"})
    request: dict[str, Any] = {
        "method": found.method,
        "header": headers,
        "url": _url(found, step),
        "description": found.spec["description"],
        **_body(found, step),
    }
    if not found.spec["security"]:
        request["auth"] = {"type": "noauth"}
    script = {"type": "text/javascript", "exec": _script(found, step, doc)}
    return {
        "name": f"{found.method} {found.path}",
        "event": [{"listen": "test", "script": script}],
        "request": request,
        "response": [],
    }


def _media(found: _Found) -> Mapping[str, Any]:
    media: Mapping[str, Any] = next(iter(found.spec["responses"].values())).get("content", {})
    return media


def _folder(name: str, steps: Sequence[Step], doc: _Document) -> dict[str, Any]:
    operations = doc.operations()
    items = [_item(step, operations[step.operation], doc) for step in steps]
    return {"name": name, "item": items}


def collection() -> dict[str, Any]:
    """Return the collection, Postman's format 2.1."""
    doc = _Document()
    saved = {name for steps in TOUR.values() for step in steps for name in step.saves}
    variables = ["apiKey", "image_id", *sorted(saved - {"apiKey", "image_id"})]
    key = {"key": "value", "value": "Api-Key {{apiKey}}", "type": "string"}
    return {
        "info": {
            "_postman_id": str(uuid5(NAMESPACE_URL, "mobilesd")),
            "name": "MobileSD",
            "description": _DESCRIPTION,
            "schema": _FORMAT,
        },
        "auth": {
            "type": "apikey",
            "apikey": [{"key": "key", "value": "Authorization", "type": "string"}, key],
        },
        "variable": [
            {"key": "baseUrl", "value": "http://127.0.0.1:8000"},
            *({"key": name, "value": ""} for name in variables),
        ],
        "item": [
            *(_folder(name, steps, doc) for name, steps in TOUR.items()),
            _folder("Streams", STREAMS, doc),
        ],
    }


def collection_text() -> str:
    """Return the collection as its file holds it."""
    return json.dumps(collection(), indent=2, ensure_ascii=False) + "\n"
