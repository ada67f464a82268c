"""drf-spectacular's generator, fed from the apps' descriptions instead of serializers."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.utils.module_loading import module_has_submodule
from drf_spectacular.drainage import warn
from drf_spectacular.generators import SchemaGenerator

from mobilesd.schema import common
from mobilesd.schema.operations import Operation, compiled
from mobilesd.schema.routes import Route, api_routes

__all__ = ["UNDESCRIBED", "Generator", "described", "document"]

# The documents themselves.
UNDESCRIBED = {"/api/schema/", "/api/docs/"}


def _modules() -> list[Any]:
    """Return the `api.schema` of each app that has one."""
    names = [f"{config.name}.api" for config in apps.get_app_configs()]
    packages = [import_module(name) for name in names if find_spec(name)]
    return [
        import_module(f"{package.__name__}.schema")
        for package in packages
        if module_has_submodule(package, "schema")
    ]


def described() -> dict[tuple[str, str], Operation]:
    """Return everything that is described, by method and path."""
    found = dict(common.OPERATIONS)
    for module in _modules():
        found |= module.OPERATIONS
    return found


def _components() -> dict[str, Any]:
    found = common.components()
    for module in _modules():
        found["schemas"] |= module.COMPONENTS
    found["schemas"] = dict(sorted(found["schemas"].items()))
    return found


def _methods(route: Route, operations: dict[tuple[str, str], Operation]) -> list[str]:
    """Return what the view takes; one that does not say so takes what is described."""
    taken = route.scopes or [method for method, path in operations if path == route.path]
    return sorted(taken, key=["GET", "POST", "PUT", "PATCH", "DELETE"].index)


class Generator(SchemaGenerator):
    """Builds the document; what is routed but not described, or the other way, is a warning."""

    def parse(self, input_request: Any, public: bool) -> dict[str, Any]:
        left = described()
        paths: dict[str, Any] = {}
        for route in api_routes():
            if route.path in UNDESCRIBED:
                continue
            methods = _methods(route, left)
            if not methods:
                warn(f"{route.path} is not described in its app's api/schema.py")
            for method in methods:
                operation = left.pop((method, route.path), None)
                if operation is None:
                    warn(f"{method} {route.path} is not described in its app's api/schema.py")
                    continue
                found = compiled(operation, method, route.parameters, route.scopes.get(method, ""))
                paths.setdefault(route.path, {})[method.lower()] = found
        for method, path in left:
            warn(f"{method} {path} is described, but there is no such route")
        return paths

    def get_schema(self, request: Any = None, public: bool = False) -> dict[str, Any]:
        schema: dict[str, Any] = super().get_schema(request, public)  # type: ignore[no-untyped-call]
        return {**schema, "components": _components()}


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document of this process; it can't change while the process runs."""
    return Generator().get_schema(public=True)  # type: ignore[no-untyped-call]
