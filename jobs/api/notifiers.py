"""Notifiers over REST: who is told what, where (docs/api/notifiers.md)."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from jobs.models import Notifier
from jobs.notifications import services
from jobs.notifications.addresses import service_of
from mobilesd.errors import bad_field
from mobilesd.http.paging import PageRequest, paginate
from mobilesd.http.times import rfc3339
from mobilesd.http.views import ApiView, json_object

__all__ = ["NotifierTestV2", "NotifierV2", "NotifiersV2", "emit_notifier"]

READ, WRITE = "jobs:read", "jobs:write"
_FIELDS = ("url", "kinds", "name", "quiet_hours", "time_zone", "is_active")


def emit_notifier(notifier: Notifier) -> dict[str, Any]:
    """Return a notifier as the API tells it: of its address the service alone."""
    return {
        "id": str(notifier.pk),
        "name": notifier.name,
        "service": service_of(notifier.sealed_url),
        "kinds": notifier.kinds,
        "quiet_hours": notifier.quiet_hours,
        "time_zone": notifier.time_zone,
        "is_active": notifier.is_active,
        "last_sent_at": rfc3339(notifier.last_sent_at),
        "last_error": notifier.last_error or None,
        "created_at": rfc3339(notifier.created_at),
    }


def _given(body: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in body:
        if name not in _FIELDS:
            raise bad_field(
                name[:60],
                "is not a field of a notifier.",
                f"The fields are: {', '.join(_FIELDS)}.",
                error="unsupported_parameter",
            )
    return body


class NotifiersV2(ApiView):
    """List your notifiers, newest first, or make one. Its address is never shown again."""

    required_scopes = {"GET": READ, "POST": WRITE}

    def get(self, request: Request) -> Response:
        rows = services.own(Actor.of_request(request))
        page = paginate(rows, PageRequest.read(request.query_params))
        notifiers = [emit_notifier(row) for row in page.rows]
        return Response({"success": True, **page.counts(), "notifiers": notifiers})

    def post(self, request: Request) -> Response:
        notifier = services.create(Actor.of_request(request), _given(json_object(request)))
        return Response(
            {
                "success": True,
                "message": "The notifier is made. Send it a test.",
                "notifier": emit_notifier(notifier),
            },
            status=201,
        )


class NotifierV2(ApiView):
    """Show, change or delete a notifier."""

    required_scopes = {"GET": READ, "PATCH": WRITE, "DELETE": WRITE}

    def get(self, request: Request, notifier_id: UUID) -> Response:
        notifier = services.find(notifier_id, Actor.of_request(request))
        return Response({"success": True, "notifier": emit_notifier(notifier)})

    def patch(self, request: Request, notifier_id: UUID) -> Response:
        actor = Actor.of_request(request)
        services.find(notifier_id, actor)
        notifier = services.edit(notifier_id, actor, _given(json_object(request)))
        return Response(
            {
                "success": True,
                "message": "The notifier is changed.",
                "notifier": emit_notifier(notifier),
            }
        )

    def delete(self, request: Request, notifier_id: UUID) -> Response:
        services.delete(notifier_id, Actor.of_request(request))
        return Response({"success": True, "message": "The notifier is deleted."})


class NotifierTestV2(ApiView):
    """Send a message that says only that it arrives: 202; `last_error` tells what went wrong."""

    required_scopes = {"POST": WRITE}

    def post(self, request: Request, notifier_id: UUID) -> Response:
        services.test(notifier_id, Actor.of_request(request))
        return Response({"success": True, "message": "A test is on its way."}, status=202)
