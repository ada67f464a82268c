"""Keys over REST (v1): a person manages their own, staff all."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apikeys import services
from apikeys.actors import Actor
from apikeys.api.serializers import emit_keys, emit_new_key
from apikeys.fields import grace_seconds, read_fields, unknown_fields
from apikeys.models import ApiKey
from mobilesd.http.paging import Order, PageRequest, paginate
from mobilesd.http.views import ApiView, json_object

__all__ = ["KeyV1", "KeysV1", "RevokeV1", "RotateV1"]

MANAGE = "admin"


def _prefix(text: str) -> str:
    """Return the prefix in a cursor; what is none might be nothing that a database takes."""
    if not (text.isascii() and text.isalnum()):
        raise ValueError(text)
    return text


_BY_CREATION = Order(at="created", read_id=_prefix)


def _answer(message: str, key: dict[str, Any], warnings: list[str]) -> dict[str, Any]:
    return {
        "success": True,
        "message": message,
        "api_key": key,
        **({"warnings": warnings} if warnings else {}),
    }


def _one(key: ApiKey) -> dict[str, Any]:
    return emit_keys([key])[0]


class KeysV1(ApiView):
    """List API keys, or make one; its secret is in that answer only."""

    required_scopes = {"GET": MANAGE, "POST": MANAGE}
    open_to_members = True

    def get(self, request: Request) -> Response:
        """List the keys that the caller may manage, newest first."""
        rows = ApiKey.objects.visible_to(Actor.of_request(request)).select_related("owner")
        page = paginate(rows, PageRequest.read(request.query_params, _BY_CREATION))
        count = page.total if page.total_is_exact else rows.count()
        return Response(
            {
                "success": True,
                "count": count,
                **page.counts(),
                "api_keys": emit_keys(page.rows),
            }
        )

    def post(self, request: Request) -> Response:
        """Make a key: 201 with its secret, which can't be shown again."""
        body = json_object(request)
        key, token = services.create(read_fields(body), Actor.of_request(request))
        message = "The key is made. Keep its secret now: it can't be shown again."
        return Response(
            _answer(message, emit_new_key(key, token), unknown_fields(body)), status=201
        )


class KeyV1(ApiView):
    """Show, change or delete one API key; PUT and PATCH keep what they do not name."""

    required_scopes = {"GET": MANAGE, "PUT": MANAGE, "PATCH": MANAGE, "DELETE": MANAGE}
    open_to_members = True

    def get(self, request: Request, prefix: str) -> Response:
        """Show a key, without its secret."""
        key = services.find(prefix, Actor.of_request(request))
        return Response({"success": True, "api_key": _one(key)})

    def patch(self, request: Request, prefix: str) -> Response:
        """Change the fields that are named: 0 means unlimited, `expires_at` "" never."""
        actor = Actor.of_request(request)
        services.find(prefix, actor)  # whatever is sent: what one may not see is not there
        body = json_object(request)
        key = services.change(prefix, read_fields(body), actor)
        return Response(_answer("The key is changed.", _one(key), unknown_fields(body)))

    def put(self, request: Request, prefix: str) -> Response:
        """Change the fields that are named, like PATCH."""
        return self.patch(request, prefix)

    def delete(self, request: Request, prefix: str) -> Response:
        """Delete a key; its jobs and pictures stay."""
        services.delete(prefix, Actor.of_request(request))
        message = "The key is deleted. Its jobs and pictures stay."
        return Response({"success": True, "message": message})


class RotateV1(ApiView):
    """Give an API key another secret; the one before works for a grace time."""

    required_scopes = {"POST": MANAGE}
    open_to_members = True

    def post(self, request: Request, prefix: str) -> Response:
        """Rotate a key: `grace_seconds` from 0 to 30 days, one day unless told."""
        body = json_object(request)
        seconds = grace_seconds(body.get("grace_seconds"))
        key, token = services.rotate(prefix, seconds, Actor.of_request(request))
        warnings = unknown_fields({n: v for n, v in body.items() if n != "grace_seconds"})
        message = "The key has a new secret. Keep it now: it can't be shown again."
        return Response(_answer(message, emit_new_key(key, token), warnings))


class RevokeV1(ApiView):
    """Refuse an API key for good."""

    required_scopes = {"POST": MANAGE}
    open_to_members = True

    def post(self, request: Request, prefix: str) -> Response:
        """Revoke a key; it can't be undone."""
        key = services.revoke(prefix, Actor.of_request(request))
        return Response(_answer("The key is revoked, for good.", _one(key), []))
