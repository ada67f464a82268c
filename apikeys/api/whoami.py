"""What a program may ask first: who it is here, what it may do, and with whom it speaks."""

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from apikeys.api.serializers import emit_limits
from apikeys.models import ApiKey
from apikeys.scopes import ANYONE, SCOPES
from mobilesd import VERSION
from mobilesd.http.times import rfc3339
from mobilesd.http.views import ApiView

__all__ = ["WhoAmIV2"]


class WhoAmIV2(ApiView):
    """Tell a key, or somebody who is signed in, what they may do here."""

    required_scopes = {"GET": ANYONE}
    serves_old_extensions = True  # by this answer they learn which version is needed

    def get(self, request: Request) -> Response:
        """Show name, scopes, limits and versions."""
        actor = Actor.of_request(request)
        who = _of_key(request.auth) if isinstance(request.auth, ApiKey) else _of_person(request)
        return Response(
            {
                "success": True,
                **who,
                "scopes": [scope for scope in SCOPES if scope in actor.scopes],
                "allowed_app_types": list(actor.allowed_app_types),
                "server_version": VERSION,
                "minimum_extension_version": settings.MINIMUM_EXTENSION_VERSION,
            }
        )


def _of_key(key: ApiKey) -> dict[str, Any]:
    return {
        "kind": "key",
        "name": key.name,
        "prefix": key.prefix,
        "owner": key.owner.get_username() if key.owner is not None else None,
        "expires_at": rfc3339(key.expiry_date),
        "limits": emit_limits(key),
    }


def _of_person(request: Request) -> dict[str, Any]:
    name = request.user.get_username()
    return {
        "kind": "session",
        "name": name,
        "prefix": None,
        "owner": name,
        "expires_at": None,
        "limits": {},
    }
