"""What people and programs do with webhooks: make, change, remove, test, send again.

All take the actor and treat what it may not see as absent.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, get_args
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from apikeys.actors import Actor
from apikeys.models import ApiKey
from jobs.events import DurableKind
from jobs.models import Delivery, DeliveryState, Event, Webhook
from jobs.webhooks.addresses import checked_url
from jobs.webhooks.bodies import TEST_KIND, test_body
from jobs.webhooks.claims import hold
from jobs.webhooks.fanout import ALL_KINDS, MAX_PENDING
from jobs.webhooks.servers import refuse_servers
from jobs.webhooks.signing import checked_secret, new_secret, sealed_secret
from mobilesd.errors import Conflict, NotFound, bad_field
from mobilesd.sqlite import write_turn

__all__ = [
    "KINDS",
    "MAX_EACH",
    "checked_events",
    "create",
    "delete",
    "edit",
    "find",
    "find_delivery",
    "replay",
    "test",
]

KINDS: Sequence[str] = get_args(DurableKind)
MAX_EACH = 20


def find(webhook_id: UUID, actor: Actor) -> Webhook:
    """Return a webhook of this actor; raise NotFound."""
    webhook = Webhook.objects.visible_to(actor).filter(pk=webhook_id).first()
    if webhook is None:
        raise NotFound("There is no such webhook.", hint="GET /api/v2/webhooks lists yours.")
    return webhook


def find_delivery(webhook_id: UUID, delivery_id: UUID, actor: Actor) -> Delivery:
    """Return one delivery of a webhook of this actor; raise NotFound."""
    delivery = Delivery.objects.filter(webhook=find(webhook_id, actor), pk=delivery_id).first()
    if delivery is None:
        raise NotFound(
            "There is no such delivery of this webhook.", hint="Deliveries are kept for 14 days."
        )
    return delivery


def checked_events(wanted: Any) -> list[str]:
    """Return the kinds of events that somebody wants, each once; raise InvalidInput."""
    known = f"The events are: {', '.join(KINDS)}; {ALL_KINDS} stands for all of them."
    if not isinstance(wanted, list) or not wanted:
        raise bad_field("events", "must be a list of at least one event.", known)
    for each in wanted:
        if not isinstance(each, str) or each not in (*KINDS, ALL_KINDS):
            raise bad_field("events", f"names no event: {str(each)[:60]!r}.", known)
    return [ALL_KINDS] if ALL_KINDS in wanted else list(dict.fromkeys(wanted))


def create(
    actor: Actor, *, url: str, events: Any, secret: str = "", is_active: bool = True
) -> tuple[Webhook, str]:
    """Make a webhook; return it with its secret, which is shown this once.

    Raises InvalidInput, or Conflict (`limit_reached`) beyond MAX_EACH of one owner or key.
    """
    address = _checked_url(url)
    kinds = checked_events(events)
    used = checked_secret(secret) if secret else new_secret()
    webhook = Webhook(
        owner_id=actor.user_id,
        api_key_id=actor.key_prefix,
        sees_all_jobs=actor.sees_all_jobs,
        url=address,
        events=kinds,
        sealed_secret=sealed_secret(used),
        is_active=is_active,
        created_at=timezone.now(),
    )
    with write_turn(), transaction.atomic():
        _check_room(actor)
        webhook.last_event_id = Event.objects.last_id()
        webhook.save(force_insert=True)
    return webhook, used


def _checked_url(text: str) -> str:
    url = checked_url(text, allow_local=settings.WEBHOOK_ALLOW_LOCAL)
    refuse_servers(url)
    return url


def _check_room(actor: Actor) -> None:
    # The row's lock (PostgreSQL) makes two at once count one after the other; SQLite has one
    # writer anyway.
    if actor.user_id is not None:
        get_user_model().objects.select_for_update().filter(pk=actor.user_id).first()
        own = Webhook.objects.filter(owner_id=actor.user_id)
    else:
        ApiKey.objects.select_for_update().filter(prefix=actor.key_prefix).first()
        own = Webhook.objects.filter(owner__isnull=True, api_key_id=actor.key_prefix)
    if own.count() >= MAX_EACH:
        raise Conflict(
            f"There are {MAX_EACH} webhooks already, which is the most that one owner may have.",
            error="limit_reached",
            hint="Delete one that is not needed; one webhook can get many kinds of events.",
        )


def edit(webhook_id: UUID, actor: Actor, changes: Mapping[str, Any]) -> Webhook:
    """Change url, events, secret or is_active; raise NotFound or InvalidInput.

    Switched on again, or with other events, it gets what happens from now on; what waits for it
    already is sent.
    """
    webhook = find(webhook_id, actor)
    values: dict[str, Any] = {}
    if "url" in changes:
        values["url"] = _checked_url(changes["url"])
    if "events" in changes:
        values["events"] = checked_events(changes["events"])
    if "secret" in changes:
        values["sealed_secret"] = sealed_secret(checked_secret(changes["secret"]))
    if "is_active" in changes:
        values |= {"is_active": changes["is_active"], "off_reason": ""}
    on_again = values.get("is_active") and not webhook.is_active
    fresh = on_again or values.get("url", webhook.url) != webhook.url
    with write_turn(), transaction.atomic():
        hold(webhook.pk)
        if fresh:
            values |= {"failures_in_row": 0, "failing_since": None, "not_before": None}
            now = timezone.now()
            _pending(webhook).filter(due_at__gt=now).update(due_at=now)
        if on_again or values.get("events", webhook.events) != webhook.events:
            values["last_event_id"] = Event.objects.last_id()
        if values:
            Webhook.objects.filter(pk=webhook.pk).update(**values)
    return find(webhook_id, actor)


def delete(webhook_id: UUID, actor: Actor) -> None:
    """Remove a webhook with its deliveries; a try that is under way ends without a trace."""
    webhook = find(webhook_id, actor)
    with write_turn(), transaction.atomic():
        hold(webhook.pk)
        webhook.delete()


def test(webhook_id: UUID, actor: Actor) -> Delivery:
    """Send a delivery that says only that it arrives; raise NotFound or Conflict."""
    webhook = _active(webhook_id, actor)
    now = timezone.now()
    number = uuid.uuid4()
    return _add(Delivery(pk=number, webhook=webhook, kind=TEST_KIND, body=test_body(number, now)))


def replay(webhook_id: UUID, delivery_id: UUID, actor: Actor) -> Delivery:
    """Send a delivery again, with the same body and id; one that still waits is sent now.

    Raises NotFound, or Conflict while the webhook is switched off.
    """
    delivery = find_delivery(webhook_id, delivery_id, actor)
    webhook = _active(webhook_id, actor)
    if delivery.state == DeliveryState.PENDING:
        now = timezone.now()
        with write_turn(), transaction.atomic():
            hold(webhook.pk)
            # If it is on its way at this moment, it may arrive twice.
            _pending(webhook).filter(pk=delivery.pk, due_at__gt=now).update(due_at=now)
            _open_gate(webhook)
        delivery.refresh_from_db()
        return delivery
    return _add(
        Delivery(
            webhook=webhook,
            event_id=delivery.event_id,
            replay_of=delivery.public_id,
            kind=delivery.kind,
            body=delivery.body,
        )
    )


def _add(delivery: Delivery) -> Delivery:
    delivery.due_at = delivery.created_at = timezone.now()
    webhook = delivery.webhook
    with write_turn(), transaction.atomic():
        if _pending(webhook).count() >= MAX_PENDING + MAX_EACH:
            raise Conflict(
                f"{MAX_PENDING} deliveries wait for this address already.",
                error="limit_reached",
                hint="See why they fail, then try again.",
            )
        delivery.save(force_insert=True)
        _open_gate(webhook)
    return delivery


def _pending(webhook: Webhook) -> Any:
    return Delivery.objects.filter(webhook=webhook, state=DeliveryState.PENDING)


def _open_gate(webhook: Webhook) -> None:
    """Let somebody who asks for a try now have it, although nothing answered there lately."""
    Webhook.objects.filter(pk=webhook.pk, failures_in_row__gt=0).update(not_before=None)


def _active(webhook_id: UUID, actor: Actor) -> Webhook:
    webhook = find(webhook_id, actor)
    if not webhook.is_active:
        raise Conflict("The webhook is switched off.", error="webhook_off")
    return webhook
