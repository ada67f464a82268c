"""The extension of an engine's own page: the page that leads to it, and its file."""

from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.http import content_disposition_header
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from rest_framework.request import Request

from apikeys.scopes import ANYONE
from dispatch.dispatchers.registry import labels
from dispatch.extension import folder_of, pack, version_of
from mobilesd.http.addresses import is_own, own_address
from mobilesd.http.files import VOLATILE
from mobilesd.http.views import AnyAccept, ApiView

__all__ = ["ExtensionZip", "extension"]


@login_required
@never_cache
@require_safe
def extension(request: HttpRequest, app_type: str) -> HttpResponse:
    """Say what the extension does, and how to install it."""
    label = labels().get(app_type)
    if label is None:
        raise Http404
    folder, address = folder_of(app_type), own_address(request)
    key = {"for": "extension", "name": f"{label} extension"}
    context = {
        "page": "servers",
        "app_type": app_type,
        "label": label,
        "there": folder is not None,
        "version": version_of(folder) if folder is not None else "",
        "address": address,
        "only_here": is_own(address),
        "key_query": urlencode(key),
    }
    return render(request, "dispatch/extension.html", context)


class ExtensionZip(ApiView):
    """Send the extension as a zip with this MobileSD's address in it; no key is in it.

    Open to everybody who is signed in and to every key, as it is the same for all of them.
    """

    required_scopes = {"GET": ANYONE}
    content_negotiation_class = AnyAccept  # a file whatever Accept says; errors are JSON
    serves_old_extensions = True  # this is what they are to be replaced by

    def get(self, request: Request, app_type: str) -> HttpResponseBase:
        packed = pack(app_type, own_address(request))
        etag = f'"{packed.etag}"'
        plain = request._request
        answer = get_conditional_response(plain, etag=etag) or HttpResponse(packed.content)
        answer.headers["ETag"] = etag
        answer.headers["Cache-Control"] = VOLATILE
        patch_vary_headers(answer, ["Cookie", "Authorization", "X-API-Key", "Host"])
        if answer.status_code == 200:
            answer.headers["Content-Type"] = "application/zip"
            answer.headers["Content-Disposition"] = (
                content_disposition_header(True, packed.filename) or ""
            )
            answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer
