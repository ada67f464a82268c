"""What is said of one operation of the API, and how that becomes OpenAPI."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mobilesd.errors import CATALOGUE
from mobilesd.schema import shapes
from mobilesd.schema.shapes import Shape

__all__ = ["Answer", "Body", "Operation", "Operations", "Parameter", "compiled", "header", "query"]

SECURITY: list[dict[str, list[str]]] = [
    {"ApiKey": []},
    {"Bearer": []},
    {"BearerPair": []},
    {"KeyPrefix": [], "KeySecret": []},
    {"Session": []},
]
_READS = {"GET", "HEAD"}
_BODIES = {"POST", "PUT", "PATCH"}
_OF_ANY_ANSWER = ("X-Request-ID",)
_OF_A_KEYS_ANSWER = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


@dataclass(frozen=True)
class Parameter:
    """A parameter of the query or a header."""

    name: str
    shape: Shape
    place: str = "query"
    example: Any = None
    repeated: bool = False


def query(name: str, shape: Shape, *, example: Any = None, repeated: bool = False) -> Parameter:
    """Return a parameter of the query; `repeated` may come more than once."""
    return Parameter(name, shape, "query", example, repeated)


def header(name: str, shape: Shape, *, example: Any = None) -> Parameter:
    """Return a header of the request."""
    return Parameter(name, shape, "header", example)


@dataclass(frozen=True)
class Body:
    """The JSON body of a request, with examples by name."""

    shape: Shape
    examples: Mapping[str, Any]
    required: bool = True


@dataclass(frozen=True)
class Answer:
    """An answer that is no error; without `shape` it has no body."""

    description: str
    shape: Shape | None = None
    example: Any = None
    media: Sequence[str] = ("application/json",)
    headers: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one path.

    `errors` are the codes that this operation gives beside those that follow from its form.
    `scope` is needed only where the view does not name its scopes by `required_scopes`.
    """

    name: str
    tag: str
    summary: str
    answers: Mapping[int, Answer]
    description: str = ""
    parameters: Sequence[Parameter] = ()
    path: Mapping[str, Shape] = field(default_factory=dict)
    body: Body | None = None
    errors: Sequence[str] = ()
    scope: str = ""
    public: bool = False
    serves_old_extensions: bool = False


Operations = Mapping[tuple[str, str], Operation]  # by method and path: ("GET", "/api/v2/jobs")


def compiled(
    operation: Operation, method: str, path: Mapping[str, Shape], scope: str
) -> dict[str, Any]:
    """Return the OpenAPI object; `path` are the shapes of the route's own converters."""
    scope = operation.scope or scope
    needs = f"\n\nNeeds the scope `{scope}`." if scope else ""
    found: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": (operation.description or operation.summary) + needs,
        "parameters": _parameters(operation, path),
        "security": [] if operation.public else SECURITY,
        "responses": {
            **_answers(operation),
            **_errors(operation, method, has_path=bool(path)),
        },
    }
    if scope:
        found["x-scope"] = scope
    if operation.body is not None:
        found["requestBody"] = _body(operation.body)
    return found


def _parameters(operation: Operation, path: Mapping[str, Shape]) -> list[dict[str, Any]]:
    found = []
    for name, shape in {**path, **operation.path}.items():
        found.append({"name": name, "in": "path", "required": True, **_described(shape)})
    for parameter in operation.parameters:
        entry = {"name": parameter.name, "in": parameter.place, **_described(parameter.shape)}
        if parameter.repeated:
            entry["schema"] = {"type": "array", "items": entry["schema"]}
            entry |= {"style": "form", "explode": True}
        if parameter.example is not None:
            entry["example"] = parameter.example
        found.append(entry)
    return found


def _described(shape: Shape) -> dict[str, Any]:
    """Move the description from the shape to its parameter, where tools look for it."""
    rest = {name: value for name, value in shape.items() if name != "description"}
    return {"description": shape.get("description", ""), "schema": rest}


def _body(body: Body) -> dict[str, Any]:
    examples = {name: {"value": value} for name, value in body.examples.items()}
    content = {"schema": body.shape, "examples": examples}
    return {"required": body.required, "content": {"application/json": content}}


def _header_refs(names: Sequence[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _usual_headers(operation: Operation) -> tuple[str, ...]:
    return _OF_ANY_ANSWER if operation.public else (*_OF_ANY_ANSWER, *_OF_A_KEYS_ANSWER)


def _answers(operation: Operation) -> dict[str, Any]:
    found = {}
    for status, answer in operation.answers.items():
        entry: dict[str, Any] = {
            "description": answer.description,
            "headers": _header_refs([*_usual_headers(operation), *answer.headers]),
        }
        if answer.shape is not None:
            media: dict[str, Any] = {"schema": answer.shape}
            if answer.example is not None:
                media["examples"] = {"example": {"value": answer.example}}
            entry["content"] = dict.fromkeys(answer.media, media)
        found[str(status)] = entry
    return found


def _sends_json(operation: Operation) -> bool:
    first = next(iter(operation.answers.values()))
    return first.shape is not None and "application/json" in first.media


def _codes(operation: Operation, method: str, *, has_path: bool) -> list[str]:
    """Return every code that the operation may answer, as its form and its errors tell."""
    codes = list(operation.errors)
    if not operation.public:
        codes += ["invalid_field_value", "authentication_required", "invalid_api_key"]
        codes += ["api_key_expired", "api_key_revoked", "scope_missing", "ip_not_allowed"]
        codes += ["rate_limited", "internal_error", "database_busy"]
        if not operation.serves_old_extensions:
            codes.append("extension_too_old")
        if has_path:
            codes.append("not_found")  # an id of another form is an unknown path
        if method not in _READS:
            codes += ["csrf_failed", "storage_full"]
        if _sends_json(operation):
            codes.append("not_acceptable")
    if method in _BODIES and operation.body is not None:
        codes += ["invalid_json", "missing_required_field"]
        codes += ["payload_too_large", "unsupported_media_type", "server_busy"]
    wanted = set(codes)
    return [code for code in CATALOGUE if code in wanted]


def _errors(operation: Operation, method: str, *, has_path: bool) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in _codes(operation, method, has_path=has_path):
        by_status.setdefault(CATALOGUE[code].status, []).append(code)
    return {str(status): _refusal(operation, by_status[status]) for status in sorted(by_status)}


def _refusal(operation: Operation, codes: Sequence[str]) -> dict[str, Any]:
    meanings = "\n".join(f"- `{code}`: {CATALOGUE[code].meaning}" for code in codes)
    headers = list(_usual_headers(operation))
    status = CATALOGUE[codes[0]].status
    if status in {429, 503}:
        headers.append("Retry-After")
    if status == 401:
        headers.append("WWW-Authenticate")
    examples = {code: {"$ref": f"#/components/examples/{code}"} for code in codes}
    return {
        "description": meanings,
        "headers": _header_refs(headers),
        "content": {"application/json": {"schema": shapes.ref("Error"), "examples": examples}},
    }
