"""Addresses that are told of events, and each telling."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from jobs.querysets import WebhookQuerySet

__all__ = ["Delivery", "DeliveryState", "Webhook"]


class Webhook(models.Model):
    """An address that gets signed deliveries of the events that its maker may see.

    `last_event_id` is the newest event that deliveries were made for: a webhook starts with what
    happens after it was made, and none is skipped or doubled by a crash.
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
    failures_in_row = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField()

    objects = WebhookQuerySet.as_manager()

    def __str__(self) -> str:
        return self.url


class DeliveryState(models.TextChoices):
    PENDING = "pending", "Waits for its turn"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Given up"


class Delivery(models.Model):
    """One event for one webhook; `body` is what is sent, byte for byte at each try."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries")
    event_id = models.BigIntegerField(null=True)
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
            models.Index(fields=["due_at"], name="delivery_due", condition=Q(state="pending")),
            models.Index(fields=["webhook", "created_at", "id"], name="delivery_of_webhook"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.state}"
