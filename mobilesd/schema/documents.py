"""The document as bytes, made once a process, and the addresses that serve it."""

import hashlib
import json
from functools import cache

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.utils.cache import get_conditional_response
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.renderers import OpenApiYamlRenderer

from mobilesd.errors import Problem, bad_field
from mobilesd.http.problems import envelope
from mobilesd.schema.generator import document

__all__ = ["docs", "schema"]

_JSON = "application/json"
_YAML = "application/yaml"
_YAML_TYPES = (_YAML, "application/vnd.oai.openapi", "text/yaml")

# Swagger UI makes style attributes; everything else comes from here or not at all.
DOCS_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)


@cache
def _as_json() -> bytes:
    return json.dumps(document(), ensure_ascii=False, separators=(",", ":")).encode()


@cache
def _as_yaml() -> bytes:
    return OpenApiYamlRenderer().render(document())  # type: ignore[no-untyped-call, no-any-return]


@cache
def _etag(form: str) -> str:
    content = _as_yaml() if form == "yaml" else _as_json()
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def _form(request: HttpRequest) -> str:
    """Return "json" or "yaml": what `format` says, else what Accept prefers; raise Problem."""
    wanted = request.GET.get("format")
    if wanted in {"json", "yaml"}:
        return wanted
    if wanted:
        raise bad_field("format", f"must be json or yaml, not {wanted[:20]!r}.")
    kind = request.get_preferred_type(["application/json", *_YAML_TYPES])
    return "yaml" if kind in _YAML_TYPES else "json"


def _refused(problem: Problem) -> HttpResponse:
    return JsonResponse(envelope(problem), status=problem.status)


def _read_only(request: HttpRequest) -> HttpResponse | None:
    if request.method in {"GET", "HEAD"}:
        return None
    text = f"{request.path} does not take {request.method}."
    answer = _refused(Problem(text, error="method_not_allowed"))
    answer.headers["Allow"] = "GET, HEAD"
    return answer


@csrf_exempt
def schema(request: HttpRequest) -> HttpResponseBase:
    """Send the OpenAPI document as JSON, or as YAML with `?format=yaml`."""
    if refused := _read_only(request):
        return refused
    try:
        form = _form(request)
    except Problem as problem:
        return _refused(problem)
    etag = _etag(form)
    answer: HttpResponseBase | None = get_conditional_response(request, etag=etag)
    if answer is None:
        content, kind = (_as_yaml(), _YAML) if form == "yaml" else (_as_json(), _JSON)
        answer = HttpResponse(content, content_type=kind)
    for name, value in {"ETag": etag, "Cache-Control": "no-cache", "Vary": "Accept"}.items():
        answer.headers[name] = value
    return answer


@csrf_exempt
def docs(request: HttpRequest) -> HttpResponse:
    """Show the document as a page on which each operation can be tried."""
    if refused := _read_only(request):
        return refused
    # Without a session there is nothing that a token would protect.
    token = get_token(request) if request.user.is_authenticated else ""
    answer = render(request, "api_docs.html", {"csrf": token})
    answer.headers["Content-Security-Policy"] = DOCS_POLICY
    answer.headers["Cache-Control"] = "private, no-cache"
    return answer
