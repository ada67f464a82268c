"""Jobs that were submitted together."""

import uuid

from django.conf import settings
from django.db import models

from jobs.querysets import BatchQuerySet

__all__ = ["Batch"]


class Batch(models.Model):
    """What one bulk submission asked for; its jobs name it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    api_key = models.ForeignKey(
        "apikeys.ApiKey",
        models.SET_NULL,
        null=True,
        blank=True,
        to_field="prefix",
        related_name="+",
    )
    total = models.PositiveIntegerField()
    seed_variation = models.CharField(max_length=16, blank=True, default="")
    name = models.CharField(max_length=200, blank=True, default="")
    # Early stop: so many jobs run, the rest is held until somebody nods; null: all run.
    run_first = models.PositiveIntegerField(null=True, blank=True)
    nodded_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    objects = BatchQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "batches"

    def __str__(self) -> str:
        return f"{self.total} jobs {self.pk}"
