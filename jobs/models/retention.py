"""How long things are kept."""

from django.db import models

__all__ = ["Retention"]


class Retention(models.Model):
    """A rule for one kind of thing: what is beyond any of its limits goes. Off at first."""

    kind = models.CharField(max_length=16, primary_key=True)
    days = models.PositiveIntegerField(null=True, blank=True)
    most = models.PositiveIntegerField(null=True, blank=True)
    gigabytes = models.FloatField(null=True, blank=True)
    is_active = models.BooleanField(default=False)
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "retention"

    def __str__(self) -> str:
        return self.kind
