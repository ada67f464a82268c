"""Webhooks over REST: making them, and the log of what they were told (docs/api/webhooks.md)."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.actors import Actor
from apikeys.permissions import has_scope
from jobs.models import Delivery, DeliveryState, Webhook
from jobs.webhooks import services
from mobilesd.errors import Problem, bad_field
from mobilesd.http.paging import PageRequest, paginate
from mobilesd.http.times import rfc3339
from mobilesd.http.views import ApiView, json_object

__all__ = [
    "DeliveriesV2",
    "DeliveryV2",
    "ReplayV2",
    "TestV2",
    "WebhookV2",
    "WebhooksV2",
    "emit_delivery",
    "emit_webhook",
]

READ, WRITE = "jobs:read", "jobs:write"
_FIELDS = ("url", "events", "secret", "is_active")


def emit_webhook(webhook: Webhook) -> dict[str, Any]:
    """Return a webhook as the API tells it: never with its secret."""
    return {
        "id": str(webhook.pk),
        "url": webhook.url,
        "events": webhook.events,
        "is_active": webhook.is_active,
        "off_reason": webhook.off_reason or None,
        "all_jobs": webhook.sees_all_jobs,
        "api_key_id": webhook.api_key_id,
        "failures_in_row": webhook.failures_in_row,
        "failing_since": rfc3339(webhook.failing_since),
        "created_at": rfc3339(webhook.created_at),
    }


def emit_delivery(delivery: Delivery) -> dict[str, Any]:
    """Return a line of the log; `id` names the line, `delivery_id` is what the receiver sees."""
    waits = delivery.state == DeliveryState.PENDING
    return {
        "id": str(delivery.pk),
        "delivery_id": str(delivery.public_id),
        "webhook_id": str(delivery.webhook_id),
        "event_id": delivery.event_id,
        "type": delivery.kind,
        "state": delivery.state,
        "tries": delivery.tries,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error or None,
        "milliseconds": delivery.milliseconds,
        "created_at": rfc3339(delivery.created_at),
        "next_try_at": rfc3339(delivery.due_at) if waits else None,
        "ended_at": rfc3339(delivery.ended_at),
        "replay_of": str(delivery.replay_of) if delivery.replay_of else None,
    }


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the known fields of a body; raise InvalidInput for any other, or a wrong type."""
    for name in body:
        if name not in _FIELDS:
            raise bad_field(
                name[:60],
                "is not a field of a webhook.",
                f"The fields are: {', '.join(_FIELDS)}.",
                error="unsupported_parameter",
            )
    for name in ("url", "secret"):
        if not isinstance(body.get(name, ""), str):
            raise bad_field(name, "must be a text.")
    if not isinstance(body.get("is_active", True), bool):
        raise bad_field("is_active", "must be true or false.")
    return dict(body)


def _may_see_events(request: Request) -> None:
    # A webhook is another way to read jobs: who may only submit them gets none.
    if not has_scope(request, READ):
        raise Problem(
            f"The API key lacks the scope {READ}, so a webhook of its would be told nothing.",
            error="scope_missing",
            hint=f"Use a key with the scopes {READ} and {WRITE}.",
            extra={"scope": READ},
        )


class WebhooksV2(ApiView):
    """List your webhooks, newest first, or make one.

    The answer to POST holds the secret, which is shown this once.
    """

    required_scopes = {"GET": READ, "POST": WRITE}

    def get(self, request: Request) -> Response:
        rows = Webhook.objects.visible_to(Actor.of_request(request))
        page = paginate(rows, PageRequest.read(request.query_params))
        webhooks = [emit_webhook(row) for row in page.rows]
        return Response({"success": True, **page.counts(), "webhooks": webhooks})

    def post(self, request: Request) -> Response:
        _may_see_events(request)
        given = _given(json_object(request))
        for name in ("url", "events"):
            if name not in given:
                raise bad_field(name, "is missing.", error="missing_required_field")
        webhook, secret = services.create(
            Actor.of_request(request),
            url=given["url"],
            events=given["events"],
            secret=given.get("secret", ""),
            is_active=given.get("is_active", True),
        )
        return Response(
            {
                "success": True,
                "message": "The webhook is made. Keep its secret: it is not shown again.",
                "webhook": {**emit_webhook(webhook), "secret": secret},
            },
            status=201,
        )


class WebhookV2(ApiView):
    """Show, change or delete a webhook."""

    required_scopes = {"GET": READ, "PATCH": WRITE, "DELETE": WRITE}

    def get(self, request: Request, webhook_id: UUID) -> Response:
        webhook = services.find(webhook_id, Actor.of_request(request))
        return Response({"success": True, "webhook": emit_webhook(webhook)})

    def patch(self, request: Request, webhook_id: UUID) -> Response:
        actor = Actor.of_request(request)
        _may_see_events(request)
        services.find(webhook_id, actor)
        webhook = services.edit(webhook_id, actor, _given(json_object(request)))
        return Response(
            {
                "success": True,
                "message": "The webhook is changed.",
                "webhook": emit_webhook(webhook),
            }
        )

    def delete(self, request: Request, webhook_id: UUID) -> Response:
        services.delete(webhook_id, Actor.of_request(request))
        return Response({"success": True, "message": "The webhook and its log are deleted."})


class TestV2(ApiView):
    """Send a delivery that says only that it arrives: 202; its line of the log tells the rest."""

    required_scopes = {"POST": WRITE}

    def post(self, request: Request, webhook_id: UUID) -> Response:
        delivery = services.test(webhook_id, Actor.of_request(request))
        return Response(
            {
                "success": True,
                "message": "A test is on its way.",
                "delivery": emit_delivery(delivery),
            },
            status=202,
        )


class DeliveriesV2(ApiView):
    """List the deliveries of a webhook, newest first; filter by `state`."""

    required_scopes = {"GET": READ}

    def get(self, request: Request, webhook_id: UUID) -> Response:
        webhook = services.find(webhook_id, Actor.of_request(request))
        rows = Delivery.objects.filter(webhook=webhook).defer("body")
        if state := request.query_params.get("state"):
            if state not in DeliveryState.values:
                raise bad_field(
                    "state",
                    f"must be one of {', '.join(DeliveryState.values)}, not {state[:40]!r}.",
                )
            rows = rows.filter(state=state)
        page = paginate(rows, PageRequest.read(request.query_params))
        deliveries = [emit_delivery(row) for row in page.rows]
        return Response({"success": True, **page.counts(), "deliveries": deliveries})


class DeliveryV2(ApiView):
    """Show one delivery with the body that was sent."""

    required_scopes = {"GET": READ}

    def get(self, request: Request, webhook_id: UUID, delivery_id: UUID) -> Response:
        delivery = services.find_delivery(webhook_id, delivery_id, Actor.of_request(request))
        told = {**emit_delivery(delivery), "body": delivery.body}
        return Response({"success": True, "delivery": told})


class ReplayV2(ApiView):
    """Send a delivery again, with the same body and the same id for the receiver: 202."""

    required_scopes = {"POST": WRITE}

    def post(self, request: Request, webhook_id: UUID, delivery_id: UUID) -> Response:
        delivery = services.replay(webhook_id, delivery_id, Actor.of_request(request))
        return Response(
            {
                "success": True,
                "message": "The delivery is sent again.",
                "delivery": emit_delivery(delivery),
            },
            status=202,
        )
