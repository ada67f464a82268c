"""Addresses that are told of events, and each telling."""

import uuid

from django.conf import settings
from django.db import models

from jobs.querysets import WebhookQuerySet

__all__ = ["Delivery", "DeliveryState", "Webhook"]


class Webhook(models.Model):
    """An address that gets signed deliveries of the events that its maker may see.

    `last_event_id` is the newest event that deliveries were made for: a webhook starts with what
    happens after it was made, and none is skipped or doubled by a crash.
    `sees_all_jobs`: made by somebody who sees all jobs; it gets them as long as that stays so.
    `not_before`: nothing is sent until then, because a sender is at it or nothing answers there.
    `failing_since` is the first failure after the last success; `off_reason` says why we, not its
    owner, switched it off.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="+"
    )
    api_key = models.ForeignKey(
        "apikeys.ApiKey",
        models.CASCADE,
        null=True,
        blank=True,
        to_field="prefix",
        related_name="+",
    )
    sees_all_jobs = models.BooleanField(default=False)
    url = models.CharField(max_length=1000)
    events = models.JSONField(default=list)
    sealed_secret = models.TextField(editable=False)
    is_active = models.BooleanField(default=True)
    last_event_id = models.BigIntegerField(default=0, editable=False)
    not_before = models.DateTimeField(null=True, blank=True, editable=False)
    failures_in_row = models.PositiveIntegerField(default=0, editable=False)
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    off_reason = models.CharField(max_length=300, blank=True, default="", editable=False)
    created_at = models.DateTimeField()

    objects = WebhookQuerySet.as_manager()

    def __str__(self) -> str:
        return self.url


class DeliveryState(models.TextChoices):
    PENDING = "pending", "Waits for its turn"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Given up"


class Delivery(models.Model):
    """One event for one webhook; `body` is what is sent, byte for byte at each try.

    While a try is under way `due_at` lies ahead: a sender that died is replaced then, and `tries`
    tells its late answer from that of its successor. A replay is a new row with the same body,
    which tells the receiver the id of the first one (`replay_of`).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries")
    event_id = models.BigIntegerField(null=True)
    replay_of = models.UUIDField(null=True, blank=True)
    kind = models.CharField(max_length=32)
    body = models.TextField()
    state = models.CharField(
        max_length=16, choices=DeliveryState.choices, default=DeliveryState.PENDING
    )
    tries = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    last_status = models.PositiveSmallIntegerField(null=True)
    last_error = models.CharField(max_length=300, blank=True, default="")
    milliseconds = models.FloatField(null=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "deliveries"
        indexes = [
            # Not partial: SQLite can't see that a parameter fits the condition of an index.
            models.Index(fields=["webhook", "state", "event_id"], name="delivery_state"),
            models.Index(fields=["webhook", "created_at", "id"], name="delivery_of_webhook"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.state}"

    @property
    def public_id(self) -> uuid.UUID:
        """Return the id that the receiver knows the delivery by, over all tries and replays."""
        return self.replay_of or self.pk
