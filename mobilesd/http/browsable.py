"""Which form an API answer has: JSON, or DRF's page for somebody who is signed in with a browser.

Programs never get HTML, whatever they accept: only a page's session does, and only for a request
that carries no key. Nearly every request accepts anything, or JSON, and costs no negotiation.
"""

from collections.abc import Iterable
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer
from rest_framework.request import Request

from mobilesd.errors import Problem

__all__ = ["BROWSABLE_POLICY", "BrowsableRenderer", "JsonUnlessBrowsed"]

# DRF's page has style attributes; its scripts are files.
BROWSABLE_POLICY = "; ".join(
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
_PLAIN = {"", "*/*", "application/json"}
_KEY_HEADERS = ("HTTP_AUTHORIZATION", "HTTP_X_API_KEY", "HTTP_X_API_SECRET")


class BrowsableRenderer(BrowsableAPIRenderer):
    """DRF's page about one address of the API."""

    def render(
        self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None
    ) -> str:
        renderer_context["response"].headers["Content-Security-Policy"] = BROWSABLE_POLICY
        return str(super().render(data, accepted_media_type, renderer_context))

    def show_form_for_method(self, view: Any, method: str, request: Any, obj: Any) -> bool:
        try:
            return bool(super().show_form_for_method(view, method, request, obj))
        except Problem:  # our refusals are no APIException
            return False


class JsonUnlessBrowsed(DefaultContentNegotiation):
    """Choose DRF's page for a signed-in browser that asks for HTML, else JSON."""

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        accept = request.META.get("HTTP_ACCEPT", "")
        if accept in _PLAIN:
            return _json(renderers)
        if "text/html" in accept:
            # Browsers begin with it; anybody else who asks for a page gets JSON all the same.
            if accept.startswith("text/html") and _is_browsed(request):
                return BrowsableRenderer(), str(BrowsableRenderer.media_type)
            return _json(renderers)
        chosen: tuple[BaseRenderer, str]
        chosen = super().select_renderer(request, renderers, format_suffix)
        return chosen


def _json(renderers: Iterable[BaseRenderer]) -> tuple[BaseRenderer, str]:
    first = next(iter(renderers))
    return first, str(first.media_type)


def _is_browsed(request: Request) -> bool:
    if any(request.META.get(name) for name in _KEY_HEADERS):
        return False
    # The session's user, not DRF's: asking DRF could refuse before there is a renderer.
    user = getattr(request._request, "user", None)
    return bool(user is not None and user.is_authenticated)
