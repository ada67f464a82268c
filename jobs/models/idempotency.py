"""Keys by which a repeated submission is known (design §4)."""

from django.db import models

__all__ = ["Idempotency"]


class Idempotency(models.Model):
    """A client's own key for a submission, unique within its scope."""

    scope = models.CharField(max_length=80)
    key = models.CharField(max_length=200)
    body_sha256 = models.CharField(max_length=64)
    job = models.ForeignKey("jobs.Job", models.SET_NULL, null=True, related_name="+")
    batch = models.ForeignKey("jobs.Batch", models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["scope", "key"], name="idempotency_key_once"),
        ]

    def __str__(self) -> str:
        return self.key
