"""Parameters with a name."""

import uuid

from django.conf import settings
from django.db import models

__all__ = ["Preset"]


class Preset(models.Model):
    """A set of parameters to begin a job with; without an owner it is the installation's.

    `shared` ones can be used by everybody, and changed by their owner alone.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="presets"
    )
    name = models.CharField(max_length=100)
    description = models.CharField(max_length=500, blank=True, default="")
    app_type = models.CharField(max_length=32)
    generation_params = models.JSONField(default=dict)
    shared = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="preset_name_once"),
            models.UniqueConstraint(
                fields=["name"],
                condition=models.Q(owner__isnull=True),
                name="preset_of_the_installation_once",
            ),
        ]

    def __str__(self) -> str:
        return self.name
