"""What a key or a signed-in user may do, by scope, route and method; denied unless named."""

from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apikeys.models import ApiKey
from apikeys.scopes import ANYONE, MEMBER_SCOPES
from mobilesd.errors import Problem

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which itself loads this module

__all__ = ["ScopePermission", "has_scope"]


def has_scope(request: Any, scope: str) -> bool:
    """Tell whether an authenticated request may do what this scope names."""
    if scope == ANYONE:
        return True
    if isinstance(request.auth, ApiKey):
        return request.auth.has_scope(scope)
    return bool(request.user.is_staff) or scope in MEMBER_SCOPES


class ScopePermission(BasePermission):
    """Ask for the scope that the view names for the method (`required_scopes`).

    A method without one is refused for everyone: a new handler can't be open by oversight.
    `open_to_members`: everybody who is signed in may use the view, on what is theirs; keys need
    the scope all the same.
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if request.auth is None and not request.user.is_authenticated:
            return False  # becomes 401
        method = "GET" if request.method == "HEAD" else str(request.method)
        scope = getattr(view, "required_scopes", {}).get(method)
        if scope is None:
            raise MethodNotAllowed(method)
        if has_scope(request, scope):
            return True
        if request.auth is None and getattr(view, "open_to_members", False):
            return True
        if request.auth is None:
            raise Problem(
                "Only staff may do this.",
                error="scope_missing",
                hint="Ask somebody who runs this MobileSD.",
            )
        if isinstance(request.auth, ApiKey) and scope in request.auth.scopes:
            raise Problem(
                f"The scope {scope} of the API key does not count: its owner is not of the staff.",
                error="scope_missing",
                hint="Ask somebody who runs this MobileSD.",
                extra={"scope": scope},
            )
        raise Problem(
            f"The API key lacks the scope {scope}.",
            error="scope_missing",
            hint=f"Use a key with the scope {scope}.",
            extra={"scope": scope},
        )
