"""Whose turn it is."""

from django.db import models

from jobs.choices import LaneClass

__all__ = ["Turn"]


class Turn(models.Model):
    """When a job of somebody (`Actor.scope`) was last taken in a lane class."""

    scope = models.CharField(max_length=64)
    lane_class = models.CharField(max_length=16, choices=LaneClass.choices)
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["scope", "lane_class"], name="turn_once"),
        ]

    def __str__(self) -> str:
        return f"{self.scope} at {self.at}"
