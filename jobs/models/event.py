"""What happened, in the order in which it happened; live sockets resume by these ids."""

import uuid

from django.conf import settings
from django.db import models

from jobs.querysets import EventQuerySet

__all__ = ["Epoch", "Event", "LiveEvent"]


class _EventBase(models.Model):
    """`public` events go to all signed-in users; others to the job's owner and to staff."""

    kind = models.CharField(max_length=32)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    public = models.BooleanField(default=False)
    payload = models.JSONField(default=dict)
    at = models.DateTimeField(db_index=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class Event(_EventBase):
    """A durable event: append-only, kept as long as its job and at least 7 days."""

    job = models.ForeignKey(
        "jobs.Job", models.CASCADE, null=True, blank=True, related_name="events"
    )

    objects = EventQuerySet.as_manager()


class LiveEvent(_EventBase):
    """A short-lived event (progress, preview): may be dropped or merged, pruned in a minute."""

    job_id = models.UUIDField(null=True)


class Epoch(models.Model):
    """The life of the event ids: a restored database gets a new one, and pages reload."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    value = models.UUIDField(default=uuid.uuid4)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="only_one_epoch"),
        ]

    def __str__(self) -> str:
        return str(self.value)
