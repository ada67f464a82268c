"""The queue as a whole, and the settings of this installation."""

from typing import Any

from django.conf import settings

from jobs.api.schema.changes import ALSO, DRY_RUN, UNDO, UNDO_EXAMPLE
from jobs.api.schema.opening import OPENING_EXAMPLES, OPENING_SHOWN, OPENING_TAKEN
from jobs.choices import Status
from mobilesd.schema.operations import Answer, Body, Operation, Operations
from mobilesd.schema.shapes import (
    Shape,
    enveloped,
    flag,
    listed,
    mapping,
    moment,
    nullable,
    number,
    obj,
    text,
    uuid,
    whole,
    word,
)

__all__ = ["OPERATIONS"]

_STANDING: dict[str, Shape] = {
    "paused": flag("Whether nothing new starts anywhere."),
    "paused_app_types": listed(text(), "App types of which nothing new starts."),
    "paused_servers": listed(text(), "Servers on which nothing new starts."),
    "accept_submissions": flag("Whether new jobs are taken."),
    "counts": obj({status: whole(low=0) for status in Status.values}, "Your jobs by status."),
    "counts_are_exact": flag("False when one of them is above 10,000."),
    "estimated_finish": nullable(
        moment("When the last job is done that this can be told of; null while nothing is known.")
    ),
    "not_counted": nullable(
        whole("Jobs in the queue that estimated_finish leaves out: nobody knows when they end.", 0)
    ),
    "forecast_error": nullable(
        number(
            "How far off the expected durations of the newest jobs were: the median, as a part of"
            " the real one. Null: too few have run.",
            0,
        )
    ),
    **OPENING_SHOWN,
    "fits": nullable(
        obj(
            {
                "until": moment("When the first server or the queue closes."),
                "jobs": whole("Waiting jobs that should start before.", 0),
                "at_least": flag("Whether more of them should fit than were counted."),
            },
            "How many jobs should fit before a window closes, if that can be told.",
        )
    ),
}
_EXAMPLE: dict[str, Any] = {
    "success": True,
    "paused": False,
    "paused_app_types": [],
    "paused_servers": [],
    "accept_submissions": True,
    "counts": {"pending": 4, "processing": 1, "completed": 120, "failed": 2, "cancelled": 3},
    "counts_are_exact": True,
    "estimated_finish": "2026-01-31T16:10:00.000Z",
    "not_counted": 0,
    "forecast_error": 0.12,
    "hours": "23:00-07:00",
    "time_zone": "Europe/Berlin",
    "run_until": None,
    "opens_at": "2026-01-31T22:00:00.000Z",
    "closes_at": "2026-01-31T17:00:00.000Z",
    "fits": None,
}
_EXTENT = Body(
    obj(
        {
            "server": nullable(text("Only this server.", minLength=1)),
            "app_type": nullable(text("Only this kind of jobs.", minLength=1)),
        },
        required=[],
        additionalProperties=False,
    ),
    {"everything": {}, "one kind": {"app_type": settings.DEFAULT_APP_TYPE}},
    required=False,
)
_PAUSE = Body(
    {
        **_EXTENT.shape,
        "properties": {
            **_EXTENT.shape["properties"],
            "after": nullable(word(["current"], "When what runs is finished, as always.")),
        },
    },
    {**_EXTENT.examples, "after the current job": {"after": "current"}},
    required=False,
)
_COURSE = obj(
    {
        "loads": whole("Models that have to be loaded.", 0),
        "seconds": number("Until the last of them ends.", 0),
        "left": whole("Jobs that are not counted: nothing lets them begin as things stand.", 0),
    }
)
_ERRORS = ("server_not_found", "unsupported_parameter")


def _standing(description: str, example: dict[str, Any]) -> dict[int, Answer]:
    return {200: Answer(description, enveloped(_STANDING), example)}


_SETTINGS = enveloped(
    {
        "settings": obj(
            {
                "accept_submissions": flag("Whether new jobs are taken; can be changed."),
                "queue_processing": flag("False: the queue is paused; can be changed."),
                "paused_app_types": listed(text(), "App types of which nothing new starts."),
                "app_types": listed(text(), "The kinds of servers that this version drives."),
                "default_app_type": text("The one that is meant when none is named."),
                "lanes": whole("Servers driven at the same time, at least.", 1),
                "limits": mapping({"type": "integer"}, "Limits of requests, by name."),
            }
        )
    }
)
_SETTINGS_EXAMPLE: dict[str, Any] = {
    "success": True,
    "settings": {
        "accept_submissions": True,
        "queue_processing": True,
        "paused_app_types": [],
        "app_types": [settings.DEFAULT_APP_TYPE],
        "default_app_type": settings.DEFAULT_APP_TYPE,
        "lanes": 2,
        "limits": {"body_bytes": 67_108_864, "bulk_jobs": 1000, "list_rows": 200},
    },
}

OPERATIONS: Operations = {
    ("GET", "/api/v2/queue"): Operation(
        name="queue",
        tag="Queue",
        summary="Show how the queue stands.",
        answers=_standing("How it stands.", _EXAMPLE),
    ),
    ("PATCH", "/api/v2/queue"): Operation(
        name="change_queue_hours",
        tag="Queue",
        summary="Change the hours of the queue.",
        description=(
            "Change when jobs may start. Outside of its hours nothing new starts; what runs is"
            " finished, and new jobs are still taken."
        ),
        body=Body(
            obj(OPENING_TAKEN, required=[], additionalProperties=False, minProperties=1),
            OPENING_EXAMPLES,
        ),
        answers=_standing("The hours are changed.", _EXAMPLE),
        errors=("missing_required_field", "unsupported_parameter"),
    ),
    ("GET", "/api/v2/queue/plan"): Operation(
        name="queue_plan",
        tag="Queue",
        summary="Show what grouping the queue by checkpoint would save.",
        description=(
            "Play the first 500 waiting jobs forward, as they are ordered and grouped by"
            " checkpoint, with the times that were learned. Hours don't count, only the time of"
            " work. `order` holds those that you may see. While the queue or servers are off, they"
            " are taken to go on, as `assumes` tells."
        ),
        answers={
            200: Answer(
                "The two courses.",
                enveloped(
                    {
                        "as_ordered": _COURSE,
                        "grouped": _COURSE,
                        "order": listed(uuid()),
                        "assumes": listed(text(), "What has to happen first, in words."),
                        "behind": whole("Jobs behind those that were looked at.", 0),
                    }
                ),
                {
                    "success": True,
                    "as_ordered": {"loads": 9, "seconds": 2460.0, "left": 0},
                    "grouped": {"loads": 3, "seconds": 1740.0, "left": 0},
                    "assumes": ["the queue is resumed"],
                    "behind": 0,
                    "order": ["8c2f3a1e-6f0b-4c57-9a54-0d9f5d1f2a11"],
                },
            )
        },
        errors=("job_operation_conflict",),
    ),
    ("POST", "/api/v2/queue/plan"): Operation(
        name="apply_queue_plan",
        tag="Queue",
        summary="Put waiting jobs into the order of a plan.",
        description=(
            "The jobs take over each other's places inside of their lane and priority. Those that"
            " have left the queue meanwhile are skipped; new ones stay where they are."
        ),
        body=Body(
            obj({"order": listed(uuid(), "At most 500, as the plan showed them.", maxItems=500)}),
            {"as shown": {"order": ["8c2f3a1e-6f0b-4c57-9a54-0d9f5d1f2a11"]}},
        ),
        answers={
            200: Answer(
                "They stand in that order.",
                enveloped({"moved": whole("Jobs that stand elsewhere now.", 0)}),
                {"success": True, "moved": 12},
            )
        },
        errors=("missing_required_field",),
    ),
    ("POST", "/api/v2/queue/pause"): Operation(
        name="pause_queue",
        tag="Queue",
        summary="Let nothing new start.",
        description=(
            "Let nothing new start: anywhere, on one server, or of one app type. What runs is"
            " finished, and new jobs are still taken. `after` current says just that. There is no"
            " now: a run that has begun is never put back unfinished."
        ),
        body=_PAUSE,
        answers=_standing("The queue is paused.", {**_EXAMPLE, "paused": True}),
        errors=_ERRORS,
    ),
    ("POST", "/api/v2/queue/resume"): Operation(
        name="resume_queue",
        tag="Queue",
        summary="Undo a pause.",
        description="Undo a pause of the same extent; other pauses stay.",
        body=_EXTENT,
        answers=_standing("The pause is over.", _EXAMPLE),
        errors=_ERRORS,
    ),
    ("POST", "/api/v2/queue/clear"): Operation(
        name="clear_queue",
        tag="Queue",
        summary="Cancel all jobs that wait.",
        description=(
            "Cancel the jobs that wait, as far as you may see them. What runs goes on. Waiting"
            " jobs that depend on them fail with them; `also` names them. With `dry_run` nothing"
            " is changed. It can be undone for ten seconds."
        ),
        parameters=(DRY_RUN,),
        body=_EXTENT,
        answers={
            200: Answer(
                "They are cancelled.",
                enveloped(
                    {**_STANDING, "cancelled": whole("How many.", 0), "also": ALSO, "undo": UNDO}
                ),
                {**_EXAMPLE, "cancelled": 4, "also": [], "undo": UNDO_EXAMPLE},
            )
        },
        errors=_ERRORS,
    ),
    ("GET", "/api/v1/settings"): Operation(
        name="v1_settings",
        tag="Settings (v1)",
        summary="Show the switches and limits of this MobileSD.",
        answers={200: Answer("The settings.", _SETTINGS, _SETTINGS_EXAMPLE)},
    ),
    ("PUT", "/api/v1/settings"): Operation(
        name="v1_change_settings",
        tag="Settings (v1)",
        summary="Change the switches of this MobileSD.",
        description="Change what the body names; the rest stays.",
        body=Body(
            obj(
                {
                    "accept_submissions": nullable(flag("Take new jobs, or refuse them (503).")),
                    "queue_processing": nullable(flag("Go on, or pause.")),
                },
                required=[],
                additionalProperties=False,
            ),
            {"take jobs": {"accept_submissions": True}},
        ),
        answers={200: Answer("The settings as they are now.", _SETTINGS, _SETTINGS_EXAMPLE)},
        errors=("unsupported_parameter",),
    ),
    ("PUT", "/api/v1/settings/queue-processing"): Operation(
        name="v1_queue_processing",
        tag="Settings (v1)",
        summary="Let the queue go on, or pause it.",
        body=Body(
            obj({"enabled": flag("Go on, or pause.")}, additionalProperties=True),
            {"go on": {"enabled": True}, "pause": {"enabled": False}},
        ),
        answers={200: Answer("The settings as they are now.", _SETTINGS, _SETTINGS_EXAMPLE)},
    ),
}
