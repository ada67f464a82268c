"""How pages answer: toasts, refusals that the page shows, and the headers that keep it safe.

A page's request comes from a form, from a link, or from htmx, which swaps the answer into the
page and reads `HX-…` headers.
"""

import json
from collections.abc import Callable
from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import SuspiciousOperation, TooManyFieldsSent
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.utils.cache import patch_vary_headers

from mobilesd.errors import Problem
from mobilesd.http.problems import to_problem

__all__ = ["CONTENT_SECURITY_POLICY", "PageMiddleware", "acted", "go_to"]

# Nothing inline, nothing from elsewhere. `ws:` and `wss:` because older Safaris do not count a
# socket to the page's own host as 'self'.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self' ws: wss:",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)


def go_to(
    request: HttpRequest, place: str, text: str = "", undo: tuple[str, float] | None = None
) -> HttpResponse:
    """Send the browser to another page, with a toast there; `undo` as for `acted`."""
    if text:
        messages.success(request, text, extra_tags=undo[0] if undo else "")
    url = resolve_url(place)
    if getattr(request, "htmx", False):
        return HttpResponse(status=204, headers={"HX-Redirect": url})
    return HttpResponseRedirect(url, status=303)


def acted(
    request: HttpRequest, text: str, back_to: str, undo: tuple[str, float] | None = None
) -> HttpResponse:
    """Say in a toast what was done, and let the page's lists be read again.

    `undo`: where to send what takes it back, and for how many seconds that is possible.
    """
    if not getattr(request, "htmx", False):
        return go_to(request, back_to, text, undo)
    toast: dict[str, Any] = {"text": text}
    if undo:
        toast["undo"] = {"url": undo[0], "seconds": undo[1]}
    return HttpResponse(status=204, headers=_triggers(toast=toast, changed={}))


def _triggers(**events: Any) -> dict[str, str]:
    return {"HX-Trigger": json.dumps(events)}


def _refused(request: HttpRequest, problem: Problem) -> HttpResponse:
    """Show why something was refused: as a toast of the page that asked, or as a page."""
    headers = {}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    # By its header: what is refused before any view was not looked at by the htmx middleware yet.
    if request.headers.get("HX-Request") == "true":
        sentences = [problem.message, *(t for texts in problem.fields.values() for t in texts)]
        toast = {
            "text": " ".join(dict.fromkeys(sentences)),
            "hint": problem.hint,
            "kind": "error",
        }
        headers |= {**_triggers(toast=toast, changed={}), "HX-Reswap": "none"}
        return HttpResponse(status=problem.status, headers=headers)
    response = render(request, "problem.html", {"problem": problem}, status=problem.status)
    for name, value in headers.items():
        response.headers[name] = value
    return response


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


class PageMiddleware:
    """Turn refusals into something readable and add the content security policy, for pages."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if _is_api(request):  # the API's own HTML pages bring scripts inside of them
            return self.get_response(request)
        response = self._too_large(request) or self._too_many(request) or self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            # A part of a page has the page's own address: "back" must never show it alone.
            part = getattr(request, "htmx", False)
            response.headers.setdefault(
                "Cache-Control", "no-store" if part else "private, no-cache"
            )
            patch_vary_headers(response, ["HX-Request", "Cookie"])
        if getattr(request, "htmx", False) and self._asks_to_sign_in(response):
            # A followed redirect would put the sign-in form into a list of the page.
            return HttpResponse(status=204, headers={"HX-Redirect": cast("Any", response).url})
        return response

    @staticmethod
    def _too_large(request: HttpRequest) -> HttpResponse | None:
        """Refuse a body that Django, which has no limit here, would read into memory."""
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdecimal() and int(length) <= settings.MAX_BODY_BYTES:
            return None
        megabytes = settings.MAX_BODY_BYTES // 1_048_576
        problem = Problem(
            "That was too large.",
            error="payload_too_large",
            hint=f"The limit is {megabytes} MB in all.",
        )
        return _refused(request, problem)

    @staticmethod
    def _too_many(request: HttpRequest) -> HttpResponse | None:
        """Refuse a form of too many fields in words; the next to read it would answer a bare 400.

        That is the check against forged requests, before any view.
        """
        if request.method != "POST":
            return None
        try:
            request.POST  # noqa: B018  reads it
        except TooManyFieldsSent:
            problem = Problem(
                f"That form has more than {settings.DATA_UPLOAD_MAX_NUMBER_FIELDS} fields.",
                error="job_operation_invalid",
                hint="Select fewer, and do it in several steps.",
            )
            return _refused(request, problem)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if _is_api(request) or isinstance(exception, Http404 | SuspiciousOperation):
            return None
        problem = to_problem(exception)
        return None if problem is None else _refused(request, problem)

    @staticmethod
    def _asks_to_sign_in(response: HttpResponse) -> bool:
        if response.status_code != 302:
            return False
        url: str = cast("Any", response).url
        return url.partition("?")[0] == resolve_url(settings.LOGIN_URL)
