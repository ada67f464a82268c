"""The log of deliveries does not grow for ever."""

import time
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from jobs.models import Delivery, Webhook

__all__ = ["KEPT_DAYS", "forget_deliveries"]

KEPT_DAYS = 14
KEPT_EACH = 10_000
_BATCH = 500
_PAUSE_SECONDS = 0.05


def forget_deliveries() -> int:
    """Delete deliveries of more than KEPT_DAYS ago, and what is beyond KEPT_EACH of one webhook.

    Works in short transactions with pauses, so that no lane waits long for the write lock.
    """
    total = 0
    for webhook_id in Webhook.objects.values_list("pk", flat=True):
        while old := _some_old(webhook_id):
            Delivery.objects.filter(pk__in=old).delete()
            total += len(old)
            time.sleep(_PAUSE_SECONDS)
    return total


def _some_old(webhook_id: UUID) -> Sequence[UUID]:
    log = Delivery.objects.filter(webhook=webhook_id)
    limit = timezone.now() - timedelta(days=KEPT_DAYS)
    first_beyond = (
        log.order_by("-created_at", "-id").values_list("created_at", flat=True)[KEPT_EACH:].first()
    )
    if first_beyond is not None:
        limit = max(limit, first_beyond + timedelta(microseconds=1))
    return list(
        log.filter(created_at__lt=limit)
        .order_by("created_at", "id")
        .values_list("pk", flat=True)[:_BATCH]
    )
