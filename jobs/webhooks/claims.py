"""Who sends a delivery, and what its result changes: conditional UPDATEs only.

One delivery of a webhook is under way at a time. Whoever takes it moves the webhook's `not_before`
and the delivery's `due_at` ahead by LEASE: if its process dies, the delivery is sent again after
that, so it can arrive twice but is never lost.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from jobs.models import Delivery, DeliveryState, Webhook
from jobs.moments import exact
from jobs.webhooks.sending import Outcome
from mobilesd.sqlite import write_turn

__all__ = ["LEASE", "RETRY_AFTER", "Claim", "claim", "hold", "settle", "switch_off"]

log = logging.getLogger(__name__)

# Longer than any try: ANSWER_SECONDS, and what looking a name up may take before that.
LEASE = timedelta(seconds=60)
RETRY_AFTER = (
    timedelta(seconds=10),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
    timedelta(hours=24),
)
# Where nothing answers, one delivery in this time is tried, whatever else waits.
_QUIET = timedelta(seconds=10)
_MAX_QUIET = timedelta(minutes=5)
# A webhook is switched off after so long without any success, and so many failures.
OFF_AFTER = timedelta(days=3)
OFF_FAILURES = 8


@dataclass(frozen=True)
class Claim:
    """A try that is ours to make; `tries` counts it, and is the fence of its result."""

    delivery_id: UUID
    public_id: UUID
    webhook_id: UUID
    kind: str
    url: str
    sealed_secret: str
    body: str
    tries: int


def hold(webhook_id: UUID) -> None:
    """Lock a webhook until the transaction ends; always before its deliveries, as `claim` does."""
    if connection.features.has_select_for_update:
        Webhook.objects.select_for_update().filter(pk=webhook_id).only("pk").first()


def claim(webhook_id: UUID) -> Claim | None:
    """Take the next delivery of a webhook that is due, oldest event first, or None."""
    now = timezone.now()
    with write_turn(), transaction.atomic():
        taken = (
            Webhook.objects.filter(pk=webhook_id, is_active=True)
            .filter(Q(not_before__isnull=True) | Q(not_before__lte=now))
            .update(not_before=now + LEASE)
        )
        due = Delivery.objects.filter(
            webhook=webhook_id, state=DeliveryState.PENDING, due_at__lte=now
        )
        delivery = (
            due.select_related("webhook")
            .order_by(F("event_id").asc(nulls_first=True), "created_at")
            .first()
        )
        if not taken or delivery is None:
            transaction.set_rollback(True)
            return None
        due.filter(pk=delivery.pk).update(tries=F("tries") + 1, due_at=now + LEASE)
    return Claim(
        delivery_id=delivery.pk,
        public_id=delivery.public_id,
        webhook_id=webhook_id,
        kind=delivery.kind,
        url=delivery.webhook.url,
        sealed_secret=delivery.webhook.sealed_secret,
        body=delivery.body,
        tries=delivery.tries + 1,
    )


def settle(taken: Claim, outcome: Outcome) -> bool:
    """Write down what became of a try; return whether it was still ours to tell.

    It is not if the webhook was deleted meanwhile, or the lease ran out and another sender has
    taken the delivery.
    """
    now = timezone.now()
    told = {
        "last_status": outcome.status,
        "last_error": outcome.error,
        "milliseconds": outcome.milliseconds,
    }
    mine = Delivery.objects.filter(
        pk=taken.delivery_id, state=DeliveryState.PENDING, tries=taken.tries
    )
    with write_turn(), transaction.atomic():
        hold(taken.webhook_id)
        if outcome.delivered:
            won = mine.update(state=DeliveryState.DELIVERED, ended_at=now, **told)
        elif taken.tries > len(RETRY_AFTER):
            won = mine.update(state=DeliveryState.FAILED, ended_at=now, **told)
        else:
            won = mine.update(due_at=now + RETRY_AFTER[taken.tries - 1], **told)
        if won:
            _note(taken.webhook_id, outcome, now)
    return won == 1


def _note(webhook_id: UUID, outcome: Outcome, now: datetime) -> None:
    webhook = Webhook.objects.filter(pk=webhook_id)
    if outcome.delivered:
        if webhook.filter(failures_in_row__gt=0).update(failures_in_row=0, failing_since=None):
            # What found nobody there need not wait for its own turn; what was refused does.
            Delivery.objects.filter(
                webhook=webhook_id,
                state=DeliveryState.PENDING,
                tries__gt=0,
                last_status__isnull=True,
            ).update(due_at=now)
        webhook.update(not_before=None)
        return
    webhook.update(
        failures_in_row=F("failures_in_row") + 1, failing_since=Coalesce(F("failing_since"), now)
    )
    failures, since = webhook.values_list("failures_in_row", "failing_since").get()
    webhook.update(not_before=None if outcome.status is not None else now + _quiet(failures))
    if failures >= OFF_FAILURES and since is not None and since <= now - OFF_AFTER:
        when = exact(since)
        switch_off(webhook_id, f"Nothing was delivered since {when}. The last try: {outcome.error}")


def _quiet(failures: int) -> timedelta:
    doublings = min(failures - 1, 10)
    return min(timedelta(seconds=_QUIET.total_seconds() * 2**doublings), _MAX_QUIET)


def switch_off(webhook_id: UUID, reason: str) -> None:
    """Switch a webhook off by ourselves, and say why."""
    # Its id and no address: a path may hold a secret word.
    log.warning("webhook %s is switched off: %s", webhook_id, reason)
    Webhook.objects.filter(pk=webhook_id, is_active=True).update(
        is_active=False, off_reason=reason[:300], not_before=None
    )
