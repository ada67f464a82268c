"""What the API answers where it has nothing."""

from typing import Any, NoReturn

from rest_framework.request import Request

from apikeys.authentication import ApiKeyAuthentication
from mobilesd.errors import NotFound
from mobilesd.http.views import AnyAccept, ApiView

__all__ = ["UnknownPath"]


class UnknownPath(ApiView):
    """Answer every API path that no route knows: a JSON 404, never a page.

    A key is counted and told its limit as everywhere: an id that is no UUID ends up here, too.
    Sessions are not looked at, or a page's missing CSRF token would hide the 404.
    """

    authentication_classes = [ApiKeyAuthentication]
    content_negotiation_class = AnyAccept

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Return no Allow header: no method would do."""
        return {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> NoReturn:
        self.perform_authentication(request)
        self.check_throttles(request)
        raise NotFound(f"There is no {request.path[:200]} in this API.")
