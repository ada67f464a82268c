"""The switches and limits of this installation over REST."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from jobs.api.orders import kind_of
from jobs.models import QueueSettings
from jobs.services import queue
from jobs.services.variations import MAX_JOBS
from mobilesd.errors import bad_field
from mobilesd.http.paging import MAX_LIMIT
from mobilesd.http.views import ApiView, json_object

__all__ = ["QueueProcessingV1", "SettingsV1"]

ADMIN = "admin"
_SWITCHES = ("accept_submissions", "queue_processing")


class SettingsV1(ApiView):
    """Show what this installation takes and does, or change its switches.

    PUT keeps what it does not name; `accept_submissions` and `queue_processing` can be changed.
    """

    required_scopes = {"GET": ADMIN, "PUT": ADMIN}

    def get(self, request: Request) -> Response:
        return Response(_answer(QueueSettings.current()))

    def put(self, request: Request) -> Response:
        body = json_object(request)
        for name in body:
            if name not in _SWITCHES:
                raise bad_field(
                    name[:60],
                    "can't be changed here.",
                    f"These can: {', '.join(_SWITCHES)}. The rest is set at the start of MobileSD.",
                    error="unsupported_parameter",
                )
        if not body:
            raise _missing(_SWITCHES[0])
        switches = {name: _flag(body, name) for name in body}
        return Response(_answer(queue.change_settings(**switches)))


class QueueProcessingV1(ApiView):
    """Let the queue go on, or pause it: `{"enabled": false}`. What runs is finished."""

    required_scopes = {"PUT": ADMIN}

    def put(self, request: Request) -> Response:
        body = json_object(request)
        if "enabled" not in body:
            raise _missing("enabled")
        enabled = _flag(body, "enabled")
        return Response(_answer(queue.change_settings(queue_processing=enabled)))


def _missing(name: str) -> Exception:
    return bad_field(name, "is missing.", error="missing_required_field")


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body[name]
    if not isinstance(value, bool):
        raise bad_field(name, f"must be true or false, not {kind_of(value)}.")
    return value


def _answer(switches: QueueSettings) -> dict[str, Any]:
    return {
        "success": True,
        "settings": {
            "accept_submissions": switches.accept_submissions,
            "queue_processing": not switches.paused,
            "paused_app_types": switches.paused_app_types,
            "app_types": list(settings.DISPATCHERS),
            "default_app_type": settings.DEFAULT_APP_TYPE,
            "lanes": settings.LANES,
            "limits": {
                "body_bytes": settings.MAX_BODY_BYTES,
                "bulk_jobs": MAX_JOBS,
                "list_rows": MAX_LIMIT,
            },
        },
    }
