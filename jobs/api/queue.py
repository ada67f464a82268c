"""The queue as a whole over REST: how it stands, pause, resume, clear."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from jobs.api.orders import kind_of
from jobs.services import queue
from mobilesd.errors import bad_field
from mobilesd.http.times import rfc3339
from mobilesd.http.views import ApiView, json_object

__all__ = ["ClearV2", "PauseV2", "QueueV2", "ResumeV2"]

_FIELDS = ("server", "app_type")


class QueueV2(ApiView):
    """Show how the queue stands: the switches, and the own jobs by status."""

    required_scopes = {"GET": "jobs:read"}

    def get(self, request: Request) -> Response:
        return Response(_standing(request))


class PauseV2(ApiView):
    """Let nothing new start, at all or on one server or of one app type. What runs is finished."""

    required_scopes = {"POST": "admin"}

    def post(self, request: Request) -> Response:
        queue.pause(**_extent(request))
        return Response(_standing(request))


class ResumeV2(ApiView):
    """Undo a pause of the same extent; other pauses stay."""

    required_scopes = {"POST": "admin"}

    def post(self, request: Request) -> Response:
        queue.resume(**_extent(request))
        return Response(_standing(request))


class ClearV2(ApiView):
    """Cancel the jobs that wait, as far as one may see them, and answer how many."""

    required_scopes = {"POST": "jobs:write"}

    def post(self, request: Request) -> Response:
        cancelled = queue.clear(Actor.of_request(request), **_extent(request))
        return Response({**_standing(request), "cancelled": cancelled})


def _extent(request: Request) -> dict[str, str]:
    """Read what a request is about; a body that is left out means everything."""
    body = json_object(request)
    for name in body:
        if name not in _FIELDS:
            # Ignored, a misspelt "sever" would pause or clear everything.
            raise bad_field(
                name[:60], "is not a field of this request.", error="unsupported_parameter"
            )
    return {name: _text(name, value) for name, value in body.items()}


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise bad_field(name, f"must be a name, not {kind_of(value)}.")
    return value.strip()


def _standing(request: Request) -> dict[str, Any]:
    stands = queue.standing(Actor.of_request(request))
    return {
        "success": True,
        "paused": stands.settings.paused,
        "paused_app_types": stands.settings.paused_app_types,
        "paused_servers": stands.paused_servers,
        "accept_submissions": stands.settings.accept_submissions,
        "counts": stands.counts,
        "counts_are_exact": stands.counts_are_exact,
        "estimated_finish": rfc3339(stands.finish),
    }
