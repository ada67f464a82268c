"""The routes of the API as the url configuration has them, whatever kind of view answers."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.converters import IntConverter, UUIDConverter
from django.urls.resolvers import RoutePattern

from mobilesd.schema import shapes
from mobilesd.schema.shapes import Shape

__all__ = ["Route", "api_routes"]

_CONVERTER = re.compile(r"<(?:[^:>]+:)?([^>]+)>")
_OUTSIDE = {"/status", "/healthz", "/readyz"}  # the only ones of the API that are not below /api/


@dataclass(frozen=True)
class Route:
    """One path (`/api/v2/jobs/{job_id}`), its parameters, and the view behind it."""

    path: str
    parameters: dict[str, Shape]
    view: Any

    @property
    def scopes(self) -> dict[str, str]:
        """Return the scope that each method needs, as far as the view says it."""
        cls = getattr(self.view, "cls", None) or getattr(self.view, "view_class", None)
        scopes: dict[str, str] = getattr(cls or self.view, "required_scopes", {})
        return scopes


def _shape_of(converter: Any, name: str) -> Shape:
    what = name.replace("_", " ")
    if isinstance(converter, UUIDConverter):
        return shapes.uuid(f"The {what}.")
    if isinstance(converter, IntConverter):
        return shapes.whole(f"The {what}.", 0)
    return shapes.text(f"The {what}.", minLength=1, pattern="^[^/]+$")


def _walk(patterns: Sequence[Any], before: str, shapes_before: dict[str, Shape]) -> Iterator[Route]:
    for entry in patterns:
        if not isinstance(entry.pattern, RoutePattern):
            continue  # regular expressions catch what no route knows
        path = before + str(entry.pattern)
        found = {
            name: _shape_of(converter, name) for name, converter in entry.pattern.converters.items()
        }
        parameters = {**shapes_before, **found}
        if isinstance(entry, URLResolver):
            yield from _walk(entry.url_patterns, path, parameters)
        elif isinstance(entry, URLPattern):
            yield Route("/" + _CONVERTER.sub(r"{\1}", path), parameters, entry.callback)


def api_routes() -> list[Route]:
    """Return every route of the API, by path."""
    routes = _walk(get_resolver().url_patterns, "", {})
    found = [route for route in routes if route.path.startswith("/api/") or route.path in _OUTSIDE]
    return sorted(found, key=lambda route: route.path)
