"""Pictures, with the parameters that made them."""

import uuid

from django.db import models
from django.db.models import Q

from gallery.querysets import ImageQuerySet

__all__ = ["Image"]


class Image(models.Model):
    """One picture of one attempt; its file is content-addressed, so rows may share a file."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Of the row itself, so that a damaged one is noticed (jobs.checksums).
    checksum = models.CharField(max_length=32, blank=True, default="", editable=False)
    sha256 = models.CharField(max_length=64, db_index=True)
    format = models.CharField(max_length=8)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    bytes = models.PositiveBigIntegerField()
    attempt = models.UUIDField()
    index = models.PositiveSmallIntegerField()
    job = models.ForeignKey(
        "jobs.Job", models.SET_NULL, null=True, blank=True, related_name="images"
    )
    owner_id = models.BigIntegerField(null=True, db_index=True)
    api_key_prefix = models.CharField(max_length=8, blank=True, default="")
    server_alias = models.CharField(max_length=64)
    app_type = models.CharField(max_length=32)
    infotext = models.TextField(blank=True, default="")
    parameters = models.JSONField(default=dict)
    checkpoint = models.CharField(max_length=500, blank=True, default="")
    loras = models.JSONField(default=list, blank=True)
    # As text: seeds reach 2^64 - 1, and SQLite's integers end at 2^63 - 1.
    seed = models.CharField(max_length=20, blank=True, default="")
    warnings = models.JSONField(default=list, blank=True)
    # Made with another checkpoint than asked for: kept to look at, not a result (design §6).
    rejected = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_index=True)

    objects = ImageQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["attempt", "index"], name="image_once_an_attempt"),
            models.CheckConstraint(condition=Q(width__gt=0, height__gt=0), name="image_has_size"),
        ]
        indexes = [models.Index(fields=["job", "index"], name="image_of_job")]

    def __str__(self) -> str:
        return f"{self.width}×{self.height} {self.sha256[:12]}"

    @property
    def filename(self) -> str:
        """Return the name under which the picture is offered."""
        return (
            f"{self.created_at:%Y%m%d-%H%M%S}-{self.seed or 'picture'}-{self.index}.{self.format}"
        )
