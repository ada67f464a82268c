"""Grouping the queue by checkpoint over REST: a preview, and putting it into that order."""

from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from jobs.ports import PlannedCourse
from jobs.services import planning
from mobilesd.errors import bad_field
from mobilesd.http.views import ApiView, json_object

__all__ = ["PlanV2"]


class PlanV2(ApiView):
    """Show what grouping the queue would save, or put it into the order that was shown."""

    required_scopes = {"GET": "jobs:read", "POST": "jobs:write"}

    def get(self, request: Request) -> Response:
        plan = planning.plan()
        mine = planning.visible(plan.order, Actor.of_request(request))
        return Response(
            {
                "success": True,
                "as_ordered": _course(plan.as_ordered),
                "grouped": _course(plan.grouped),
                "order": [str(job_id) for job_id in mine],
                "assumes": list(plan.assumes),
                "behind": plan.behind,
            }
        )

    def post(self, request: Request) -> Response:
        order = _order(json_object(request))
        moved = planning.apply_order(order, Actor.of_request(request))
        return Response({"success": True, "moved": moved})


def _course(course: PlannedCourse) -> dict[str, Any]:
    return {"loads": course.loads, "seconds": round(course.seconds, 1), "left": course.left}


def _order(body: dict[str, Any]) -> list[UUID]:
    if "order" not in body:
        raise bad_field("order", "is missing.", error="missing_required_field")
    order = body["order"]
    if not isinstance(order, list) or len(order) > planning.MOST:
        raise bad_field("order", f"must be a list of at most {planning.MOST} ids of jobs.")
    try:
        return [UUID(job_id) for job_id in order]
    except (ValueError, TypeError, AttributeError):
        raise bad_field("order", "holds something that is no id of a job.") from None
