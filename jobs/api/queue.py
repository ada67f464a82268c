"""The queue as a whole over REST: how it stands, pause, resume, clear."""

from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from jobs.api.changes import read_dry_run
from jobs.api.orders import kind_of
from jobs.ports import QueueForecast
from jobs.services import planning, queue, undo
from mobilesd.errors import bad_field
from mobilesd.http.times import rfc3339
from mobilesd.http.views import ApiView, json_object

__all__ = ["ClearV2", "PauseV2", "QueueV2", "ResumeV2"]

_FIELDS = ("server", "app_type")


class QueueV2(ApiView):
    """Show how the queue stands: the switches, and the own jobs by status."""

    required_scopes = {"GET": "jobs:read", "PATCH": "admin"}

    def get(self, request: Request) -> Response:
        return Response(_standing(request))

    def patch(self, request: Request) -> Response:
        """Change the hours of the queue."""
        planning.change_hours(json_object(request))
        return Response(_standing(request))


class PauseV2(ApiView):
    """Let nothing new start, at all or on one server or of one app type. What runs is finished.

    `{"after": "current"}` says the same; a run that has begun is never put back unfinished.
    """

    required_scopes = {"POST": "admin"}

    def post(self, request: Request) -> Response:
        queue.pause(**_extent(_after_current(json_object(request))))
        return Response(_standing(request))


class ResumeV2(ApiView):
    """Undo a pause of the same extent; other pauses stay."""

    required_scopes = {"POST": "admin"}

    def post(self, request: Request) -> Response:
        queue.resume(**_extent(json_object(request)))
        return Response(_standing(request))


class ClearV2(ApiView):
    """Cancel the jobs that wait, as far as one may see them, and answer how many.

    `also` names the jobs that fail with them. With `?dry_run=1` nothing is changed.
    """

    required_scopes = {"POST": "jobs:write"}

    def post(self, request: Request) -> Response:
        actor, dry_run = Actor.of_request(request), read_dry_run(request)
        done = queue.clear(actor, **_extent(json_object(request)), dry_run=dry_run)
        gone = {
            "cancelled": done.count,
            "also": [str(job_id) for job_id in done.also],
            "undo": undo.shown(done.undo),
        }
        return Response({**_standing(request), **gone})


def _after_current(body: Mapping[str, Any]) -> dict[str, Any]:
    """Read when a pause is to begin, and return the rest of the body.

    Not "now": no server takes half a picture back. Where a run can be stopped at all, that is a
    cancel, and its undo, which queue it anew; where it can't, it goes on to its end whatever is
    said (protocol rule 15), so that "now" would throw a finished picture away.
    """
    after = body.get("after", "current")
    if after == "now":
        raise bad_field(
            "after",
            "can't be now: a run that has begun is let end.",
            "Pause, and cancel what runs. Undo that, or retry it, to have it made again later.",
            error="unsupported_parameter",
        )
    if after != "current":
        raise bad_field("after", "must be current.")
    return {name: value for name, value in body.items() if name != "after"}


def _extent(body: Mapping[str, Any]) -> dict[str, str]:
    """Read what a request is about; a body that is left out means everything."""
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
    forecast = stands.forecast
    return {
        "success": True,
        "paused": stands.settings.paused,
        "paused_app_types": stands.settings.paused_app_types,
        "paused_servers": stands.paused_servers,
        "accept_submissions": stands.settings.accept_submissions,
        "counts": stands.counts,
        "counts_are_exact": stands.counts_are_exact,
        "estimated_finish": rfc3339(forecast.finish),
        "not_counted": forecast.not_counted,
        "forecast_error": None if forecast.error is None else round(forecast.error, 3),
        **planning.shown_hours(stands.settings),
        "fits": _fits(forecast),
    }


def _fits(forecast: QueueForecast) -> dict[str, Any] | None:
    if forecast.closes is None:
        return None
    return {
        "until": rfc3339(forecast.closes),
        "jobs": forecast.fits,
        "at_least": forecast.fits_at_least,
    }
