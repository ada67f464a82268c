"""The base of all API views."""

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mobilesd.errors import InvalidInput
from mobilesd.http import heavy
from mobilesd.http.extension_version import check_user_agent

__all__ = ["AnyAccept", "ApiView", "json_object"]


class AnyAccept(BaseContentNegotiation):
    """Ignore the Accept header, where the answer is a file; errors are JSON all the same."""

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, str(first.media_type)


class ApiView(APIView):
    """A view of the REST API.

    `required_scopes` maps each method to the scope that it needs; a method that is not in it
    is refused (apikeys.permissions).
    """

    required_scopes: dict[str, str] = {}
    serves_old_extensions = False

    @property
    def allowed_methods(self) -> list[str]:
        """Name in the Allow header only what some key may do."""
        scoped = set(self.required_scopes) | ({"HEAD"} if "GET" in self.required_scopes else set())
        allowed: list[str] = super()._allowed_methods()  # type: ignore[misc]  # not in the stubs
        return [method for method in allowed if method in scoped]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **kwargs)
        finally:
            heavy.release(self.request)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Who asks and how often comes first: each later refusal is then an answer to a known key.
        self.perform_authentication(request)
        self.check_throttles(request)
        if not self.serves_old_extensions:
            check_user_agent(request)
        super().initial(request, *args, **kwargs)

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        final = super().finalize_response(request, response, *args, **kwargs)
        final.headers.setdefault("Cache-Control", "no-store")
        return final


def json_object(request: Request) -> dict[str, Any]:
    """Return the body, which must be a JSON object, without its nulls: null means absent."""
    body = request.data
    if request.method in {"PATCH", "PUT"} and request.stream is None:
        # Nothing was sent, which is a mistake of the program: "changed" would hide it.
        raise InvalidInput(
            "The body is missing.",
            error="missing_required_field",
            hint="Send a JSON object with what is to be changed.",
        )
    if not isinstance(body, dict):
        raise InvalidInput(
            "The body must be a JSON object.",
            error="invalid_json",
            hint='Send something like {"generation_params": {…}}.',
        )
    return {name: value for name, value in body.items() if value is not None}
