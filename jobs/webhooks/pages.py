"""The pages of webhooks: what there is, how it goes, and what was sent."""

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apikeys.actors import Actor
from jobs.live.replay import standing
from jobs.models import Delivery, DeliveryState, Webhook
from jobs.webhooks import services
from jobs.webhooks.fanout import ALL_KINDS
from jobs.webhooks.makers import actor_of
from mobilesd.errors import Problem
from mobilesd.http.pages import acted, go_to

__all__ = ["add", "delete", "deliveries", "replay", "switch", "test", "webhooks"]

SHOWN = 50
_WHEN = {
    "job.created": "A job was submitted",
    "job.status": "A job started, was completed, failed or was cancelled",
    "job.changed": "A waiting job was moved or edited",
    "job.deleted": "A job was deleted",
    "image.created": "A picture is there",
    "server.status": "A server came, went or got busy",
    "queue.paused": "The queue was paused, or goes on",
    "queue.empty": "Nothing waits or runs any more",
    "job.stalled": "A picture stopped moving on its server",
    "data.trouble": "A backup failed, or the database was damaged",
}


def _actor(request: HttpRequest) -> Actor:
    return Actor.of_user(request.user)


def _standing_in_words(webhook: Webhook) -> dict[str, str]:
    if not webhook.is_active:
        return {"tone": "off", "words": "Switched off", "why": webhook.off_reason}
    if actor_of(webhook) is None:
        why = "The key that made it, or its owner, may see nothing now."
        return {"tone": "warn", "words": "Waits", "why": why}
    if webhook.failures_in_row:
        times = "time" if webhook.failures_in_row == 1 else "times"
        why = f"It failed {webhook.failures_in_row} {times} in a row; the deliveries tell why."
        return {"tone": "bad", "words": "Failing", "why": why}
    return {"tone": "good", "words": "On", "why": ""}


@login_required
@require_safe
def webhooks(request: HttpRequest) -> HttpResponse:
    """List the webhooks, as a page or, for a page that is open, as its part."""
    stands = standing()
    rows = Webhook.objects.visible_to(_actor(request)).select_related("owner", "api_key__owner")
    shown = [{"row": row, **_standing_in_words(row)} for row in rows.order_by("-created_at")[:200]]
    part = getattr(request, "htmx", False)
    return render(
        request,
        "webhooks/_list.html" if part else "webhooks/list.html",
        {"page": "webhooks", "standing": stands, "webhooks": shown},
    )


@login_required
@never_cache  # the answer to the form holds the secret
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """Add a webhook, and show its secret this once."""
    if request.method != "POST":
        return _form(request, url="", events=["job.status"])
    url, events = request.POST.get("url", ""), request.POST.getlist("events")
    try:
        webhook, secret = services.create(_actor(request), url=url, events=events)
    except Problem as problem:
        return _form(request, url=url, events=events, problem=problem)
    context = {"page": "webhooks", "webhook": webhook, "secret": secret}
    return render(request, "webhooks/made.html", context, status=201)


def _form(
    request: HttpRequest, *, url: str, events: list[str], problem: Problem | None = None
) -> HttpResponse:
    fields = problem.fields if problem else {}
    errors = {name: " ".join(texts) for name, texts in fields.items()}
    kinds = [(ALL_KINDS, "Everything"), *((kind, _WHEN.get(kind, "")) for kind in services.KINDS)]
    context = {
        "page": "webhooks",
        "url": url,
        "kinds": [(kind, words, kind in events) for kind, words in kinds],
        "errors": errors,
        "problem": problem,
    }
    return render(request, "webhooks/add.html", context, status=422 if problem else 200)


@login_required
@require_safe
def deliveries(request: HttpRequest, webhook_id: UUID) -> HttpResponse:
    """Show the newest deliveries of a webhook, as a page or as its part."""
    stands = standing()
    webhook = services.find(webhook_id, _actor(request))
    rows = Delivery.objects.filter(webhook=webhook).defer("body").order_by("-created_at", "-id")
    context: dict[str, Any] = {
        "page": "webhooks",
        "standing": stands,
        "webhook": webhook,
        **_standing_in_words(webhook),
        "deliveries": [{"row": row, **_result_in_words(row)} for row in rows[:SHOWN]],
    }
    part = getattr(request, "htmx", False)
    return render(
        request, "webhooks/_deliveries.html" if part else "webhooks/deliveries.html", context
    )


def _result_in_words(delivery: Delivery) -> dict[str, str]:
    if delivery.state == DeliveryState.DELIVERED:
        return {"tone": "good", "words": "Delivered"}
    if delivery.state == DeliveryState.FAILED:
        return {"tone": "bad", "words": "Given up"}
    return {"tone": "warn", "words": "Tried, again later" if delivery.tries else "Waits"}


@login_required
@require_POST
def test(request: HttpRequest, webhook_id: UUID) -> HttpResponse:
    """Send a test to a webhook."""
    services.test(webhook_id, _actor(request))
    return acted(request, "A test is on its way.", reverse("webhook", args=[webhook_id]))


@login_required
@require_POST
def switch(request: HttpRequest, webhook_id: UUID) -> HttpResponse:
    """Switch a webhook on or off."""
    on = request.POST.get("to") == "on"
    services.edit(webhook_id, _actor(request), {"is_active": on})
    words = "It gets what happens from now on." if on else "It is switched off."
    return acted(request, words, reverse("webhooks"))


@login_required
@require_POST
def delete(request: HttpRequest, webhook_id: UUID) -> HttpResponse:
    """Delete a webhook; its own page is left for the list."""
    services.delete(webhook_id, _actor(request))
    return go_to(request, reverse("webhooks"), "The webhook is deleted.")


@login_required
@require_POST
def replay(request: HttpRequest, webhook_id: UUID, delivery_id: UUID) -> HttpResponse:
    """Send a delivery again."""
    services.replay(webhook_id, delivery_id, _actor(request))
    return acted(request, "It is sent again.", reverse("webhook", args=[webhook_id]))
