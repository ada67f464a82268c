"""Telling people what happened, by ntfy, Telegram, mail and others."""

import uuid

from django.conf import settings
from django.db import models

__all__ = ["Notice", "Notifier"]


class Notifier(models.Model):
    """Where somebody wants to be told of what; the address may hold a secret, so it is sealed.

    `last_event_id` is the newest event that notices were made for, as with webhooks.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="notifiers"
    )
    name = models.CharField(max_length=100)
    sealed_url = models.TextField(editable=False)
    kinds = models.JSONField(default=list)
    quiet_hours = models.CharField(max_length=200, blank=True, default="")
    time_zone = models.CharField(max_length=64, blank=True, default="")
    is_active = models.BooleanField(default=True)
    last_event_id = models.BigIntegerField(default=0, editable=False)
    last_sent_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class Notice(models.Model):
    """One message to one notifier, until it is sent or given up."""

    notifier = models.ForeignKey(Notifier, models.CASCADE, related_name="notices")
    event_id = models.BigIntegerField()
    kind = models.CharField(max_length=32)
    title = models.CharField(max_length=200)
    text = models.TextField()
    due_at = models.DateTimeField()
    tries = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    given_up_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["notifier", "event_id", "kind"], name="notice_once"),
        ]
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=models.Q(sent_at__isnull=True, given_up_at__isnull=True),
                name="notice_due",
            ),
        ]

    def __str__(self) -> str:
        return self.title
