"""What holds for the queue as a whole."""

from typing import Self

from django.db import models

__all__ = ["QueueSettings"]


class QueueSettings(models.Model):
    """Switches of the whole queue: one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    paused = models.BooleanField(default=False)
    paused_app_types = models.JSONField(default=list, blank=True)
    accept_submissions = models.BooleanField(default=True)

    class Meta:
        verbose_name_plural = "queue settings"
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="only_one_queue_settings"),
        ]

    def __str__(self) -> str:
        return "queue settings"

    @classmethod
    def current(cls) -> Self:
        """Return the row as it is now; the defaults before anybody has changed one."""
        return cls.objects.filter(pk=1).first() or cls()
